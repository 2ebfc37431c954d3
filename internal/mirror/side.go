package mirror

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"pullwatch/internal/pull"
)

// side is one end of a copy. An error is blamed on one of them.
type side struct {
	role     pull.Side
	registry string
	// image is the image at the source, or the repository at the destination.
	image string
	// login names the login that is used. It is empty when there is none for the repository.
	login string
	// otherLogins is true if there are logins for other repositories of the registry.
	otherLogins bool
}

// newSide returns a side and the logins that there are for it, the best first.
func newSide(role pull.Side, image string, repository name.Repository) (side, []login, error) {
	s := side{role: role, registry: familiar(repository.RegistryStr()), image: familiar(image)}
	logins, others, err := findLogins(repository)
	if err != nil {
		return side{}, nil, &failure{reason: pull.Invalid, permanent: true,
			message: fmt.Sprintf("The credentials for the %s cannot be read: %s", s.name(), oneLine(err.Error()))}
	}
	s.otherLogins = others
	return s, logins, nil
}

// who says with which login the registry was asked. It never says the secret.
func (s side) who() string {
	switch {
	case s.login != "":
		return fmt.Sprintf("with the login %q", s.login)
	case s.otherLogins:
		return "without credentials, for the logins that there are for " + s.registry + " are for other repositories"
	default:
		return "without credentials"
	}
}

// familiar returns a name with Docker Hub called as everybody calls it.
func familiar(name string) string { return strings.Replace(name, "index.docker.io", "docker.io", 1) }

func (s side) name() string { return string(s.role) + " registry " + s.registry }

// blame returns err as an error of this side; nil stays nil, and an error that is blamed already stays as it is.
func (s side) blame(err error) error {
	if _, ok := errors.AsType[*sideError](err); ok || err == nil {
		return err
	}
	return &sideError{side: s, err: err}
}

// sideError is an error of one side.
type sideError struct {
	side side
	err  error
}

func (e *sideError) Error() string { return e.side.name() + ": " + e.err.Error() }
func (e *sideError) Unwrap() error { return e.err }

// partError is an error about one part of an image: a blob, or a manifest of an index. The image has that part: the source has
// given a manifest that names it.
type partError struct {
	part string
	err  error
}

func (e *partError) Error() string { return e.err.Error() }
func (e *partError) Unwrap() error { return e.err }
