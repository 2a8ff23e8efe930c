package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/thingjobs/thingjobs/presign"
	"github.com/thingjobs/thingjobs/presign/s3server"
)

type demoCmd struct {
	Data     string        `name:"data" default:"./thingjobs-data" help:"Data directory; kept, to go on by hand."`
	Devices  int           `name:"devices" default:"25" help:"Simulated devices."`
	Size     int           `name:"size" default:"1048576" help:"Size of the firmware file in bytes."`
	Fail     int           `name:"fail" default:"0" help:"Percentage of devices that fail."`
	Reject   int           `name:"reject" default:"0" help:"Percentage of devices that reject."`
	Seed     int64         `name:"seed" default:"1" help:"Seed of the devices' decisions."`
	Timeout  time.Duration `name:"timeout" default:"3m" help:"How long the job may take."`
	Sim      string        `name:"sim" help:"The device-sim binary. Default: beside this one." placeholder:"FILE"`
	S3       string        `name:"s3" help:"The versitygw binary. Default: bin/tools/versitygw." placeholder:"FILE"`
	LogLevel string        `name:"log-level" default:"warn" enum:"debug,info,warn,error" help:"Of the broker."`
}

const (
	demoRole   = "arn:aws:iam::123456789012:role/jobs-download"
	demoBucket = "firmware"
	demoKey    = "pump/v2.bin"
)

// Run does what an operator of a small fleet does on the first day: start the broker,
// enroll devices, put firmware into S3, create a job, watch it. Every call is one the aws
// CLI makes too.
func (c *demoCmd) Run(ctx context.Context, s streams) error {
	d := &demo{demoCmd: c, out: s.out, log: newLogger(s.err, c.LogLevel, "text"), terminal: isTerminal(s.out)}
	return d.run(ctx)
}

type demo struct {
	*demoCmd
	out      io.Writer
	log      *slog.Logger
	terminal bool

	dir    dataDir
	client *client
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

func (d *demo) run(ctx context.Context) error {
	if d.Devices < 1 {
		return errors.New("at least one device is wanted")
	}
	sim, err := d.simulator()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	d.say("==> A real S3 server (versitygw) for the firmware")
	d.dir = dataDir(d.Data)
	if err := d.dir.create(); err != nil {
		return err
	}
	s3, secret, err := d.startS3(ctx)
	if err != nil {
		return err
	}
	defer s3.Close()
	d.say("    %s", s3.Endpoint)

	cfg := defaultConfig()
	cfg.Data = d.Data
	cfg.MQTTSAddr, cfg.HTTPSAddr, cfg.AdminAddr = freeOr("127.0.0.1:8883"), freeOr("127.0.0.1:8443"), freeOr("127.0.0.1:8080")
	cfg.Presign = demoPresign(s3, secret)
	app, err := NewApp(ctx, cfg, d.log)
	if err != nil {
		return err
	}
	defer app.Close()
	serving, stop := context.WithCancel(ctx)
	defer stop()
	ready := make(chan struct{})
	broker, _ := errgroup.WithContext(ctx)
	broker.Go(func() error { defer cancel(); return app.Run(serving, func() { close(ready) }) })
	select {
	case <-ready:
	case <-ctx.Done():
		return broker.Wait()
	}
	e := app.Endpoints()
	d.say("==> The broker: MQTT over TLS on %s, HTTPS on %s, data in %s", e.MQTTS, e.HTTPS, d.Data)

	err = d.mainJob(ctx, s3, sim)
	if err == nil {
		d.goOn()
	}
	if err == nil && d.terminal {
		d.say("\nServing until Ctrl-C.")
		<-ctx.Done()
	}
	stop()
	return errors.Join(err, broker.Wait())
}

// simulator finds the device-sim binary.
func (d *demo) simulator() (string, error) {
	if d.Sim != "" {
		return d.Sim, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	sim := filepath.Join(filepath.Dir(self), "device-sim")
	if _, err := os.Stat(sim); err != nil {
		return "", fmt.Errorf("device-sim is not beside %s: run `make build`, or name it with --sim", self)
	}
	return sim, nil
}

func (d *demo) startS3(ctx context.Context) (*s3server.Server, string, error) {
	binary := d.S3
	if binary == "" {
		var err error
		if binary, err = s3server.Find(); err != nil {
			return nil, "", err
		}
	}
	secret := rand.Text()
	s3, err := s3server.Start(ctx, s3server.Options{Binary: binary, Dir: d.dir.path("s3"), AccessKey: "demo", SecretKey: secret, Logger: d.log})
	if err != nil {
		return nil, "", err
	}
	return s3, secret, nil
}

// demoPresign lets documents written for AWS fetch from the S3 server beside the broker.
func demoPresign(s3 *s3server.Server, secret string) presign.Config {
	return presign.Config{
		Stores: []presign.StoreConfig{{
			Name: "demo", Match: []string{"s3.*.amazonaws.com", "s3.amazonaws.com"},
			Endpoint: s3.Endpoint, Region: s3.Region, Style: "path",
		}},
		Roles: []presign.RoleConfig{{
			ARN: demoRole, Store: "demo",
			Credentials: &presign.CredentialsConfig{AccessKey: "demo", SecretKey: presign.Secret(secret)},
			Allow:       []string{demoBucket + "/*"},
		}},
	}
}

// freeOr gives the address, or another port when somebody has it.
func freeOr(addr string) string {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "127.0.0.1:0"
	}
	l.Close()
	return addr
}

// mainJob enrolls, uploads, creates the job and follows it to its end.
func (d *demo) mainJob(ctx context.Context, s3 *s3server.Server, sim string) error {
	things := make([]string, d.Devices)
	for i := range things {
		things[i] = fmt.Sprintf("demo-pump-%03d", i+1)
	}
	d.say("==> Enrolling %d devices: thing, key, certificate, policy", d.Devices)
	enroller, err := localEnroller(d.dir, "")
	if err != nil {
		return err
	}
	d.client = enroller.client
	if _, err := enroller.enrollAll(ctx, things); err != nil {
		return err
	}
	arns, err := d.group(ctx, things)
	if err != nil {
		return err
	}

	firmware := make([]byte, d.Size)
	_, _ = rand.Read(firmware)
	hash := sha256.Sum256(firmware)
	if err := s3.CreateBucket(ctx, demoBucket); err != nil {
		return err
	}
	if _, err := s3.PutObject(ctx, demoBucket, demoKey, firmware); err != nil {
		return err
	}
	d.say("==> Firmware s3://%s/%s, %d bytes, SHA-256 %s…", demoBucket, demoKey, d.Size, hex.EncodeToString(hash[:8]))

	fleet, err := startFleet(ctx, sim, d)
	if err != nil {
		return err
	}
	defer fleet.stop()
	if err := fleet.waitConnected(ctx, d.Devices); err != nil {
		return err
	}
	d.say("==> %d devices are connected over mutual TLS and wait", d.Devices)

	job := "demo-" + time.Now().UTC().Format("20060102-150405")
	doc, err := json.Marshal(map[string]any{
		"operation": "install",
		"url":       "${aws:iot:s3-presigned-url:https://s3.us-east-1.amazonaws.com/" + demoBucket + "/" + demoKey + "}",
		"sha256":    hex.EncodeToString(hash[:]),
		"size":      d.Size,
	})
	if err != nil {
		return err
	}
	d.say("==> aws iot create-job --job-id %s --targets %s …", job, arns)
	created := time.Now()
	err = d.client.call(ctx, "PUT", "/jobs/"+job, nil, map[string]any{
		"targets": []string{arns}, "document": string(doc), "description": "Demo firmware",
		"presignedUrlConfig": map[string]any{"roleArn": demoRole, "expiresInSec": 900},
	}, nil)
	if err != nil {
		return err
	}
	if err := d.follow(ctx, job); err != nil {
		return err
	}
	report, err := fleet.wait()
	if err != nil {
		return err
	}
	return d.summary(job, created, fleet, report)
}

// group makes the thing group with the devices in it and gives its ARN. Its name has their
// number: a run with fewer devices than the last one has nobody in its job who is not there.
func (d *demo) group(ctx context.Context, things []string) (string, error) {
	name := fmt.Sprintf("demo-pumps-%d", len(things))
	var group struct{ ThingGroupARN string }
	if err := d.client.call(ctx, "POST", "/thing-groups/"+name, nil, struct{}{}, &group); err != nil {
		return "", err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(enrollParallel)
	for _, t := range things {
		g.Go(func() error {
			return d.client.call(ctx, "PUT", "/thing-groups/addThingToThingGroup", nil, map[string]string{"thingGroupName": name, "thingName": t}, nil)
		})
	}
	return group.ThingGroupARN, g.Wait()
}

// described is the part of DescribeJob's answer that the demo shows.
type described struct {
	Job struct {
		Status            string
		JobProcessDetails struct {
			NumberOfQueuedThings, NumberOfInProgressThings, NumberOfSucceededThings int
			NumberOfFailedThings, NumberOfRejectedThings                            int
		}
	}
}

func (j *described) line() string {
	p := j.Job.JobProcessDetails
	return fmt.Sprintf("%-11s  queued %d  in progress %d  succeeded %d  failed %d  rejected %d",
		j.Job.Status, p.NumberOfQueuedThings, p.NumberOfInProgressThings, p.NumberOfSucceededThings, p.NumberOfFailedThings, p.NumberOfRejectedThings)
}

// follow shows the job's progress until it is complete.
func (d *demo) follow(ctx context.Context, job string) error {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for {
		var j described
		if err := d.client.call(ctx, "GET", "/jobs/"+job, nil, nil, &j); err != nil {
			return err
		}
		line := j.line()
		switch {
		case d.terminal:
			fmt.Fprintf(d.out, "\r\033[K    %s", line)
		case line != last:
			d.say("    %s", line)
		}
		last = line
		if j.Job.Status != "IN_PROGRESS" {
			if d.terminal {
				d.say("")
			}
			if j.Job.Status != "COMPLETED" {
				return fmt.Errorf("job %s is %s", job, j.Job.Status)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("job %s is not complete: %w", job, ctx.Err())
		case <-tick.C:
		}
	}
}

func (d *demo) summary(job string, created time.Time, f *fleet, r *fleetReport) error {
	d.say("==> Job %s COMPLETED on %d devices, %d downloads verified", job, r.Devices, r.VerifiedDownloads)
	d.say("    %-32s %10s %10s %10s", "", "p50", "p99", "max")
	row := func(what string, l latency) { d.say("    %-32s %7.1f ms %7.1f ms %7.1f ms", what, l.P50, l.P99, l.Max) }
	row("CreateJob to notify-next", f.notified(created))
	for _, op := range []string{"start-next", "update"} {
		row(op+" request to reply", r.LatencyMs[op])
	}
	if r.DevicesNotOK > 0 {
		return fmt.Errorf("%d devices did not end as they should: %v", r.DevicesNotOK, r.Failures)
	}
	if want := d.Devices - r.Executions["REJECTED"]; r.VerifiedDownloads != want {
		return fmt.Errorf("%d of %d downloads verified", r.VerifiedDownloads, want)
	}
	return nil
}

// goOn prints the commands to go on with by hand.
func (d *demo) goOn() {
	self := os.Args[0]
	data, wait := "", ""
	if d.Data != "./thingjobs-data" {
		data = " --data " + shellQuote(d.Data)
	}
	d.say("\nGo on by hand:")
	if !d.terminal {
		d.say("  %s serve%s &", self, data)
		wait = " --wait 10s"
	}
	d.say(`  eval "$(%[1]s env%[2]s%[4]s)"
  aws iot list-jobs
  %[1]s enroll pump-1%[2]s
  mosquitto_sub -h "$THINGJOBS_MQTT_HOST" -p "$THINGJOBS_MQTT_PORT" --cafile "$THINGJOBS_CA_FILE" -i pump-1 \
    --cert %[3]s/pump-1/device.pem.crt --key %[3]s/pump-1/device.key -V mqttv311 -v -q 1 -t '$aws/things/pump-1/jobs/#' &
  aws iot create-job --job-id hello --document '{"op":"hello"}' \
    --targets "$(aws iot describe-thing --thing-name pump-1 --query thingArn --output text)"
(An aws CLI older than 2.13, or 1.29, wants --endpoint-url "$AWS_ENDPOINT_URL_IOT" with each command.)`, self, data, d.dir.devices(), wait)
}
