package kube

import (
	"slices"
	"testing"
	"time"
)

func TestCopiersGetLoginsAndCertificatesOfACompany(t *testing.T) {
	job, err := newJobPrototype(JobSettings{
		Namespace: "pulls", CopierImage: "pullwatch:test", RegistrySecret: "logins", RegistryCA: "company-ca",
		InsecureRegistries: []string{"host:5000"}, AllowPrivateHosts: []string{"minio.test:9000", "10.0.0.5"},
		Deadline: time.Minute, HistoryTTL: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	pod := job.Spec.Template.Spec
	copier := pod.Containers[0]
	for _, arg := range []string{
		"--insecure-registry=host:5000", "--allow-private-host=minio.test:9000", "--allow-private-host=10.0.0.5", "--registry-ca=/registry-ca",
	} {
		if !slices.Contains(copier.Args, arg) {
			t.Errorf("%q lack %s", copier.Args, arg)
		}
	}
	mounted := map[string]string{}
	for _, mount := range copier.VolumeMounts {
		for _, volume := range pod.Volumes {
			switch {
			case volume.Name != mount.Name:
			case volume.ConfigMap != nil:
				mounted[mount.MountPath] = volume.ConfigMap.Name
			case volume.Secret != nil:
				mounted[mount.MountPath] = volume.Secret.SecretName
			}
		}
	}
	if len(mounted) != 2 || mounted["/registry-ca"] != "company-ca" || mounted["/registry-logins"] != "logins" {
		t.Errorf("mounted %v", mounted)
	}
}
