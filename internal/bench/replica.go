package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
)

// startRedis starts a redis-server that keeps nothing.
func startRedis(ctx context.Context) (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	p, err := start(address, "redis-server", "--bind", host, "--port", port, "--save", "", "--appendonly", "no")
	if err != nil {
		return nil, err
	}
	return p, p.awaitListener(ctx)
}

// awaitListener waits until the process accepts connections; it closes the process when it does not.
func (p *process) awaitListener(ctx context.Context) error {
	err := await(ctx, p.command.Path+" listens", func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	if err != nil {
		p.close()
	}
	return err
}

// buildProgram builds the server that is measured.
func buildProgram(ctx context.Context, output string) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", output, ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build pullwatch: %w", err)
	}
	return nil
}

const redisPrefix = "pullwatch"

// startReplica starts a server for the pulls in a namespace and waits until it is ready.
func startReplica(ctx context.Context, program string, c *cluster, redis *process, namespace string) (*process, error) {
	return startProgram(ctx, program, c, namespace,
		"--redis-url=redis://"+redis.address, "--redis-prefix="+redisPrefix, "--cluster-name="+namespace)
}

// startProgram starts a server for a namespace, with arguments of its own, and waits until it is ready.
func startProgram(ctx context.Context, program string, c *cluster, namespace string, arguments ...string) (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p, err := start(address, program, append([]string{
		"--listen=" + address, "--kubeconfig=" + c.kubeconfig, "--namespace=" + namespace, "--copier-image=" + copierImage,
		"--destination=" + destination, "--max-parallel=1", "--log-level=warn",
	}, arguments...)...)
	if err != nil {
		return nil, err
	}
	err = await(ctx, "the server is ready", func(ctx context.Context) error {
		_, err := p.get(ctx, "/readyz")
		return err
	})
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// startReplicas starts two servers for the n pulls in a namespace: the leader, and a follower that has all of them from
// Redis.
func startReplicas(ctx context.Context, program string, c *cluster, redis *process, namespace string) (leader, follower *process, err error) {
	if leader, err = startReplica(ctx, program, c, redis, namespace); err != nil {
		return nil, nil, err
	}
	err = await(ctx, "the first server leads", func(ctx context.Context) error {
		values, err := leader.metrics(ctx)
		if err == nil && (values["pullwatch_leader"] != 1 || values[`pullwatch_cache_writes_total{list="active",result="stored"}`] < 1) {
			err = errors.New("it has not written the lists")
		}
		return err
	})
	if err == nil {
		follower, err = startReplica(ctx, program, c, redis, namespace)
	}
	if err != nil {
		leader.close()
		return nil, nil, err
	}
	return leader, follower, nil
}
