package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

// Processes of the benchmark take orders over HTTP, at an address of their own: a POST to the path of an order, with its
// parameters in JSON, which is answered in JSON when the order has been carried out.

// order returns a handler that carries out orders of one kind.
func order[In, Out any](carryOut func(context.Context, In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		err := json.NewDecoder(r.Body).Decode(&in)
		var out Out
		if err == nil {
			out, err = carryOut(r.Context(), in)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(out) // who has gone away needs no answer
	}
}

// orders returns a handler of the orders that servers take.
func orders(publish func(context.Context, publication) (struct{}, error)) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/publish", order(publish))
	mux.Handle("/usage", order(usage))
	return mux
}

// takeOrders serves orders until ctx is done.
func takeOrders(ctx context.Context, address string, orders http.Handler) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return serveUntil(ctx, listener, orders)
}

// serveUntil serves on listener, which it closes, until ctx is done.
func serveUntil(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// tell gives an order to a process and waits until it has been carried out.
func tell[Out any](ctx context.Context, address, path string, parameters any) (out Out, err error) {
	text, err := json.Marshal(parameters)
	if err != nil {
		return out, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+path, bytes.NewReader(text))
	if err != nil {
		return out, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return out, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, bytes.TrimSpace(answer))
	}
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(answer, &out)
}

// startSelf starts this program as a process that carries out one of the commands of main. It is given an address to listen
// on before its other arguments.
func startSelf(ctx context.Context, command string, arguments ...string) (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := start(address, self, append([]string{command, address}, arguments...)...)
	if err != nil {
		return nil, err
	}
	return p, p.awaitListener(ctx)
}
