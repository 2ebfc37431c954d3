// Package usererr holds the errors that clients may see. Every other error is internal: it is logged, and the client
// learns only that something went wrong.
package usererr

import (
	"errors"
	"fmt"
)

// Code says what kind of error it is, so that a program can decide what to do.
type Code string

// The codes of the GraphQL schema's ErrorCode, in which their meaning is described.
const (
	BadInput        Code = "BAD_INPUT"
	Unauthenticated Code = "UNAUTHENTICATED"
	Forbidden       Code = "FORBIDDEN"
	NotFound        Code = "NOT_FOUND"
	Conflict        Code = "CONFLICT"
	LimitExceeded   Code = "LIMIT_EXCEEDED"
	Timeout         Code = "TIMEOUT"
	Unavailable     Code = "UNAVAILABLE"
	Internal        Code = "INTERNAL"
)

// Error is an error whose message is written for clients: it says what is wrong and, where it can, what to do.
type Error struct {
	Code    Code
	Message string
	cause   error
}

// New returns an Error whose message is made as fmt.Sprintf does it.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap is New with the internal error that caused it, which is logged and never sent to the client.
func Wrap(cause error, code Code, format string, args ...any) *Error {
	e := New(code, format, args...)
	e.cause = cause
	return e
}

func (e *Error) Error() string {
	if e.cause != nil {
		return e.Message + ": " + e.cause.Error()
	}
	return e.Message
}

// Unwrap returns the internal cause, or nil.
func (e *Error) Unwrap() error { return e.cause }

// IsFailure reports whether the server has failed, which its operator wants to know. Otherwise the client made a mistake
// or exceeded a limit. A failure is Internal, or is Unavailable or Timeout and has an internal cause.
func (e *Error) IsFailure() bool {
	switch e.Code {
	case Internal:
		return true
	case Unavailable, Timeout:
		return e.cause != nil
	default:
		return false
	}
}

// CodeOf returns the code of the first Error in err's tree, Internal when there is none.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}
