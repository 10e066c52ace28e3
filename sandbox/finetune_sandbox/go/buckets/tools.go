//go:build tools

// Package tools names the programs, so that go.mod keeps what they need.
package tools

import (
	_ "github.com/fsouza/fake-gcs-server"
	_ "github.com/versity/versitygw/cmd/versitygw"
)
