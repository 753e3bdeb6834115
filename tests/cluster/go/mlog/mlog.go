// Package mlog stands in for the logging helper monis.app/mlog, which no proxy serves here. The driver's main function
// sets up klog with it, and klog works without.
package mlog

import (
	"context"
	"os"

	"k8s.io/klog/v2"
)

type LogFormat string

const (
	FormatText LogFormat = "text"
	FormatJSON LogFormat = "json"
)

func Setup() func() { return klog.Flush }

func ValidateAndSetKlogLevelAndFormatGlobally(context.Context, klog.Level, LogFormat) error { return nil }

func Error(message string, err error, more ...any) { klog.ErrorS(err, message, more...) }

func Fatal(err error) {
	klog.ErrorS(err, "the driver ends")
	klog.Flush()
	os.Exit(1)
}
