package fakeapi

// NewWithWindow returns a Server that remembers few events.
func NewWithWindow(window int) *Server { return newServer(window) }
