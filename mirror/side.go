package mirror

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"pullwatch/pull"
)

// side is one end of a copy, which an error can be blamed on.
type side struct {
	// role is "source" or "destination".
	role     string
	registry string
	// image is what is read there, or the repository that is written to.
	image string
	// anonymous tells that there are no credentials for the registry.
	anonymous bool
}

func newSide(role, image string, repository name.Repository) (side, error) {
	s := side{role: role, registry: familiar(repository.RegistryStr()), image: familiar(image)}
	credentials, err := authn.DefaultKeychain.Resolve(repository)
	if err != nil {
		return side{}, &failure{reason: pull.Invalid, permanent: true,
			message: fmt.Sprintf("The credentials for the %s cannot be read: %s", s.name(), oneLine(err.Error()))}
	}
	s.anonymous = credentials == authn.Anonymous
	return s, nil
}

// familiar returns a name with Docker Hub called as everybody calls it.
func familiar(name string) string { return strings.Replace(name, "index.docker.io", "docker.io", 1) }

func (s side) name() string { return s.role + " registry " + s.registry }

// blame returns err as an error of this side; nil stays nil, and an error that is blamed already stays as it is.
func (s side) blame(err error) error {
	if _, ok := errors.AsType[*sideError](err); ok || err == nil {
		return err
	}
	return &sideError{side: s, err: err}
}

type sideError struct {
	side side
	err  error
}

func (e *sideError) Error() string { return e.side.name() + ": " + e.err.Error() }
func (e *sideError) Unwrap() error { return e.err }
