package fakeapi

import (
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// What pods are made for. Nothing plays their controllers: their pods and Jobs are created like all others.
var (
	deployments = &resource{
		kind: appsv1.SchemeGroupVersion.WithKind("Deployment"), plural: "deployments",
		propagation: metav1.DeletePropagationBackground,
		new:         func() Object { return &appsv1.Deployment{} },
		newList: func(objects []Object, meta metav1.ListMeta) runtime.Object {
			return &appsv1.DeploymentList{
				TypeMeta: listType("apps/v1", "DeploymentList"), ListMeta: meta, Items: items[appsv1.Deployment](objects),
			}
		},
	}
	statefulSets = &resource{
		kind: appsv1.SchemeGroupVersion.WithKind("StatefulSet"), plural: "statefulsets",
		propagation: metav1.DeletePropagationBackground,
		new:         func() Object { return &appsv1.StatefulSet{} },
		newList: func(objects []Object, meta metav1.ListMeta) runtime.Object {
			return &appsv1.StatefulSetList{
				TypeMeta: listType("apps/v1", "StatefulSetList"), ListMeta: meta, Items: items[appsv1.StatefulSet](objects),
			}
		},
	}
	daemonSets = &resource{
		kind: appsv1.SchemeGroupVersion.WithKind("DaemonSet"), plural: "daemonsets",
		propagation: metav1.DeletePropagationBackground,
		new:         func() Object { return &appsv1.DaemonSet{} },
		newList: func(objects []Object, meta metav1.ListMeta) runtime.Object {
			return &appsv1.DaemonSetList{
				TypeMeta: listType("apps/v1", "DaemonSetList"), ListMeta: meta, Items: items[appsv1.DaemonSet](objects),
			}
		},
	}
	cronJobs = &resource{
		kind: batchv1.SchemeGroupVersion.WithKind("CronJob"), plural: "cronjobs",
		propagation: metav1.DeletePropagationBackground,
		new:         func() Object { return &batchv1.CronJob{} },
		newList: func(objects []Object, meta metav1.ListMeta) runtime.Object {
			return &batchv1.CronJobList{
				TypeMeta: listType("batch/v1", "CronJobList"), ListMeta: meta, Items: items[batchv1.CronJob](objects),
			}
		},
	}
)
