package mirror

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"

	"pullwatch/internal/pull"
)

// readAuthorities returns the system's certificate authorities together with those in PEM files. A directory stands for
// its files, such as one that a ConfigMap is mounted as. It returns nil, for the system's alone, without files.
func readAuthorities(files []string) (*x509.CertPool, error) {
	if len(files) == 0 {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if err := addAuthorities(pool, file); err != nil {
			return nil, &failure{reason: pull.Invalid, permanent: true,
				message: sentence(fmt.Sprintf("the certificate authorities of --registry-ca cannot be read: %v", err))}
		}
	}
	return pool, nil
}

func addAuthorities(pool *x509.CertPool, file string) error {
	files := []string{file}
	if info, err := os.Stat(file); err != nil {
		return err
	} else if info.IsDir() {
		// The names that begin with a dot are how Kubernetes swaps all files of a ConfigMap at once.
		if files, err = filepath.Glob(filepath.Join(file, "[^.]*")); err != nil {
			return err
		}
	}
	found := false
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		found = pool.AppendCertsFromPEM(content) || found
	}
	if !found {
		return fmt.Errorf("%s: no certificate in PEM", file)
	}
	return nil
}
