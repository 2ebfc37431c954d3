package kube

import (
	"strings"
	"testing"
	"time"

	"pullwatch/internal/pull"
)

func prototypeWith(template string) JobSettings {
	return JobSettings{
		Namespace: "pulls", CopierImage: "pullwatch:test", RegistrySecret: "logins", InsecureRegistries: []string{"host:5000"},
		Deadline: time.Minute, HistoryTTL: time.Hour, Template: []byte(template),
	}
}

func TestAJobTemplateChangesWhatItNamesOnly(t *testing.T) {
	job, err := newJobPrototype(prototypeWith(`
metadata:
  annotations: {team: platform}
spec:
  ttlSecondsAfterFinished: 60
  template:
    spec:
      nodeSelector: {disk: fast}
      tolerations: [{key: gpu, operator: Exists}]
      imagePullSecrets: [{name: image-login}]
      containers:
        - name: copier
          resources: {limits: {memory: 256Mi}}
          env: [{name: HTTPS_PROXY, value: "http://proxy:3128"}]
`))
	if err != nil {
		t.Fatal(err)
	}
	pod := job.Spec.Template.Spec
	if pod.NodeSelector["disk"] != "fast" || len(pod.Tolerations) != 1 || pod.ImagePullSecrets[0].Name != "image-login" {
		t.Errorf("%+v", pod)
	}
	if *job.Spec.TTLSecondsAfterFinished != 60 || job.Annotations["team"] != "platform" || job.Labels[labelManagedBy] != managedBy {
		t.Errorf("%+v", job)
	}
	copier := pod.Containers[0]
	env := map[string]string{}
	for _, e := range copier.Env {
		env[e.Name] = e.Value
	}
	if copier.Name != pull.ContainerName || len(pod.Containers) != 1 || copier.Image != "pullwatch:test" {
		t.Errorf("%+v", copier)
	}
	if copier.Resources.Limits.Memory().String() != "256Mi" || copier.Resources.Requests.Cpu().IsZero() {
		t.Errorf("%+v", copier.Resources)
	}
	if env["HTTPS_PROXY"] == "" || env["DOCKER_CONFIG"] == "" || env["GOMEMLIMIT"] == "" {
		t.Errorf("%v", env)
	}
	if !*copier.SecurityContext.RunAsNonRoot || !*copier.SecurityContext.ReadOnlyRootFilesystem {
		t.Errorf("%+v", copier.SecurityContext)
	}
}

func TestABadJobTemplateIsRefusedWithItsField(t *testing.T) {
	for template, field := range map[string]string{
		`spec: {template: {spec: {nodeSelectors: {a: b}}}}`: `unknown field "spec.template.spec.nodeSelectors"`,
		`spec: {template: {spec: {tolerations: {key: x}}}}`: "spec.template.spec.tolerations",
		`spec: {template: {spec: {nodeSelector: {a: 1}}}}`:  "spec.template.spec.nodeSelector",
		`kind: Pod`:                  "kind",
		`apiVersion: v1`:             "kind",
		`spec: {suspend: null}`:      "spec.suspend",
		`spec: {backoffLimit: null}`: "spec.backoffLimit",
		`spec: {template: {spec: {restartPolicy: null}}}`:                      "spec.template.spec.restartPolicy",
		`spec: {template: {spec: {containers: null}}}`:                         "spec.template.spec.containers",
		`spec: {template: {spec: {containers: [{name: copier, args: null}]}}}`: "containers[name=copier].args",
		`metadata: {labels: {app.kubernetes.io/managed-by: null}}`:             "managed-by",
		`metadata: {annotations: {pullwatch/image: x}}`:                        "annotation pullwatch/image",
		`spec: [`:                                                               "yaml",
		`metadata: {name: x}`:                                                   "metadata.name",
		`metadata: {namespace: other}`:                                          "metadata.namespace",
		`metadata: {labels: {pullwatch/key: x}}`:                                "pullwatch/key",
		`spec: {suspend: false}`:                                                "spec.suspend",
		`spec: {parallelism: 2}`:                                                "spec.parallelism",
		`spec: {completions: 2}`:                                                "spec.completions",
		`spec: {activeDeadlineSeconds: 0}`:                                      "spec.activeDeadlineSeconds",
		`spec: {activeDeadlineSeconds: null}`:                                   "spec.activeDeadlineSeconds",
		`spec: {ttlSecondsAfterFinished: null}`:                                 "spec.ttlSecondsAfterFinished",
		`spec: {podFailurePolicy: null}`:                                        "spec.podFailurePolicy",
		`spec: {template: {spec: {restartPolicy: Always}}}`:                     "spec.template.spec.restartPolicy",
		`spec: {template: {spec: {automountServiceAccountToken: true}}}`:        "automountServiceAccountToken",
		`spec: {template: {spec: {containers: [{name: copier, args: [x]}]}}}`:   "containers[name=copier].args",
		`spec: {template: {spec: {containers: [{name: sidecar, image: app}]}}}`: "spec.template.spec.containers",
		`spec: {template: {spec: {containers: [{name: copier, securityContext: {runAsNonRoot: false}}]}}}`:           "securityContext.runAsNonRoot",
		`spec: {template: {spec: {containers: [{name: copier, securityContext: {runAsUser: 0}}]}}}`:                  "runAsUser=0",
		`spec: {template: {spec: {containers: [{name: copier, securityContext: {readOnlyRootFilesystem: false}}]}}}`: "securityContext.readOnlyRootFilesystem",
		`spec: {template: {spec: {containers: [{name: copier, securityContext: {privileged: true}}]}}}`:              "securityContext.privileged",
		`spec: {template: {spec: {containers: [{name: copier, securityContext: null}]}}}`:                            "securityContext.runAsNonRoot",
		`spec: {template: {spec: {containers: [{name: copier, $patch: delete}]}}}`:                                   `unknown field "spec.template.spec.containers[0].$patch"`,
		`spec: {template: {spec: {initContainers: [{name: x, image: app}]}}}`:                                        "initContainers",
	} {
		if _, err := newJobPrototype(prototypeWith(template)); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s\n\t%v\n\twant an error with %q", template, err, field)
		}
	}
}

func TestAnUnsafeJobTemplateNeedsConsent(t *testing.T) {
	for pod, word := range map[string]string{
		`hostPID: true`:     "hostPID",
		`hostIPC: true`:     "hostIPC",
		`hostNetwork: true`: "hostNetwork",
		`volumes: [{name: x, hostPath: {path: /}}]`:                                                         "hostPath",
		`automountServiceAccountToken: true`:                                                                "automountServiceAccountToken",
		`securityContext: {sysctls: [{name: kernel.msgmax, value: "1"}]}`:                                   "sysctls",
		`containers: [{name: copier, ports: [{containerPort: 1, hostPort: 1}]}]`:                            "hostPort",
		`containers: [{name: copier, securityContext: {privileged: true, allowPrivilegeEscalation: true}}]`: "privileged=true",
		`containers: [{name: copier, securityContext: {allowPrivilegeEscalation: true}}]`:                   "allowPrivilegeEscalation",
		`containers: [{name: copier, securityContext: {capabilities: {add: [SYS_ADMIN]}}}]`:                 "SYS_ADMIN",
		`containers: [{name: copier, securityContext: {capabilities: null}}]`:                               "capabilities",
		`containers: [{name: copier, securityContext: {seccompProfile: {type: Unconfined}}}]`:               "seccompProfile",
		`containers: [{name: copier, securityContext: {runAsUser: 0}}]`:                                     "runAsUser=0",
		`containers: [{name: copier, securityContext: {runAsNonRoot: false}}]`:                              "runAsNonRoot",
		`containers: [{name: copier, securityContext: {readOnlyRootFilesystem: false}}]`:                    "readOnlyRootFilesystem",
	} {
		settings := prototypeWith(`spec: {template: {spec: {` + pod + `}}}`)
		if _, err := newJobPrototype(settings); err == nil || !strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), "--allow-unsafe-template") {
			t.Errorf("%s\n\t%v\n\twant an error with %q", pod, err, word)
		}
		settings.AllowUnsafeTemplate = true
		if _, err := newJobPrototype(settings); err != nil {
			t.Errorf("%s, allowed: %v", pod, err)
		}
	}
	settings := prototypeWith(`spec: {suspend: false}`)
	settings.AllowUnsafeTemplate = true
	if _, err := newJobPrototype(settings); err == nil {
		t.Error("what pullwatch relies on can be changed")
	}
}
