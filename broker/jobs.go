package broker

import (
	"bytes"
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

// request is one device request and, when it is done, its answer.
type request struct {
	jobsTopic
	publish // the answer: the topic is that of the request
	c       *client
	body    []byte // of the request
	token   wire.ClientToken
	doc     []byte // the job document with its placeholders filled
	frame   []byte // what is written
}

var requests = sync.Pool{New: func() any { return new(request) }}

// free gives the buffers to the next request, unless one of them is so large that
// it had better not stay.
func (r *request) free() {
	const keep = 16 << 10
	if cap(r.payload)+cap(r.doc)+cap(r.frame) > 3*keep {
		return
	}
	*r = request{publish: publish{payload: r.payload[:0]}, doc: r.doc[:0], frame: r.frame[:0]}
	requests.Put(r)
}

// serveRequest has the engine do what a PUBLISH asks and writes PUBACK and reply
// in one piece. Both go out after the commit: a crash before makes the device ask
// again, and never lets it believe what did not happen. If the connection is gone
// by then, the reply is lost and nobody else gets it.
//
// While the engine works and until the reply is written, notifications to this
// connection wait: a device sees its own answer first.
func (b *Broker) serveRequest(c *client, topic jobsTopic, in incoming) {
	start := time.Now()
	r := requests.Get().(*request)
	defer r.free()
	r.c, r.jobsTopic, r.body = c, topic, in.payload
	r.version, r.topic, r.correlation = c.version, in.topic, in.correlation

	held := c.watchOf(r.thing)
	held.hold()
	defer held.release(b.notifier)

	err := b.answer(r)
	if err == nil {
		r.suffix = "/accepted"
		b.metrics.acceptedOf[r.op].Inc()
	} else {
		r.suffix = "/rejected"
		b.metrics.requests.WithLabelValues(r.op.String(), wire.MQTTCode(jobsvc.ErrorCode(err))).Inc()
		b.logFailure(r, err)
		r.payload = wire.AppendRejected(r.payload[:0], r.token, b.now(), err)
	}
	r.frame = r.frame[:0]
	if in.id != 0 {
		r.frame = appendPuback(r.frame, in.id)
	}
	switch {
	case !c.fits(&r.publish):
		b.log.Warn("reply does not fit the client's Maximum Packet Size", "client", c.clientID(), "thing", r.thing, "op", r.op.String())
	case r.op == opInvalid && !topicFits(r.topic+r.suffix): // no topic to answer on
	case !c.mayReply(r.topic, r.suffix): // acknowledged without a reply, as by the service
	default:
		r.frame = r.publish.append(r.frame)
	}
	if len(r.frame) > 0 {
		c.Write(r.frame) // an error ends the connection at the next read
	}
	b.metrics.latencyOf[r.op].Observe(time.Since(start).Seconds())
}

// logFailure logs what is our fault. Refusals are the device's own business, and counted.
func (b *Broker) logFailure(r *request, err error) {
	switch jobsvc.ErrorCode(err) {
	case jobsvc.CodeInternal, jobsvc.CodeUnavailable:
		b.log.Error("request failed", "op", r.op.String(), "thing", r.thing, "job", r.jobID, "err", err)
	case jobsvc.CodeInvalidTopic:
		b.log.Info("request on a topic that is no operation", "thing", r.thing, "client", r.c.clientID(), "topic", clip(r.topic))
	}
}

// answer fills payload with an accepted message, or gives the error to be told. A
// panic costs one request.
func (b *Broker) answer(r *request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			b.metrics.panics.Inc()
			b.log.Error("panic in a request", "op", r.op.String(), "thing", r.thing, "err", p, "stack", string(debug.Stack()))
			err = errors.New("panic")
		}
	}()
	ctx := context.Background() // a commit outlives the connection that asked for it
	switch r.op {
	case opGetPending:
		err = b.getPending(ctx, r)
	case opStartNext:
		err = b.startNext(ctx, r)
	case opDescribe:
		err = b.describe(ctx, r)
	case opUpdate:
		return b.update(ctx, r)
	default:
		return jobsvc.Errorf(jobsvc.CodeInvalidTopic, "The topic is not one of a jobs operation.")
	}
	if err != nil {
		return err
	}
	return r.tooLarge()
}

func (b *Broker) getPending(ctx context.Context, r *request) (err error) {
	if r.token, err = wire.DecodeGetPendingJobExecutions(r.body); err != nil {
		return err
	}
	p, err := b.engine.GetPendingJobExecutions(ctx, r.thing)
	if err != nil {
		return err
	}
	r.payload = wire.AppendPendingAccepted(r.payload[:0], r.token, p)
	return nil
}

func (b *Broker) startNext(ctx context.Context, r *request) (err error) {
	q := jobsvc.StartNextPendingJobExecutionRequest{ThingName: r.thing, Sign: true}
	if r.token, err = wire.DecodeStartNextPendingJobExecution(r.body, &q); err != nil {
		return err
	}
	x, err := b.engine.StartNextPendingJobExecution(ctx, &q)
	if err != nil {
		return err
	}
	return b.acceptExecution(r, x)
}

func (b *Broker) describe(ctx context.Context, r *request) (err error) {
	q := jobsvc.DescribeJobExecutionRequest{ThingName: r.thing, JobID: r.jobID, NamespaceID: r.namespace, Sign: true}
	if r.token, err = wire.DecodeDescribeJobExecution(r.body, &q); err != nil {
		return err
	}
	x, err := b.engine.DescribePendingJobExecution(ctx, &q)
	if err != nil {
		return err
	}
	return b.acceptExecution(r, x)
}

// acceptExecution fails when the document cannot be filled in although the engine
// found it could be. That harms nothing: start-next may be repeated.
func (b *Broker) acceptExecution(r *request, x *jobsvc.DeviceExecution) error {
	doc, err := b.document(r.doc, x.Document)
	if err != nil {
		return err
	}
	if doc != nil {
		r.doc = doc
	}
	r.payload = wire.AppendExecutionAccepted(r.payload[:0], r.token, x, doc)
	return nil
}

// update is accepted without the document when that fails after the commit: what
// happened must not be reported as refused.
func (b *Broker) update(ctx context.Context, r *request) (err error) {
	q := jobsvc.UpdateJobExecutionRequest{ThingName: r.thing, JobID: r.jobID, NamespaceID: r.namespace, Sign: true}
	var includeState bool
	if r.token, includeState, err = wire.DecodeUpdateJobExecution(r.body, &q); err != nil {
		return err
	}
	u, err := b.engine.UpdateJobExecution(ctx, &q)
	if err != nil {
		return err
	}
	var state *jobsvc.JobExecutionState
	if includeState {
		state = &u.State
	}
	doc, err := b.document(r.doc, u.Document)
	if err == nil {
		if doc != nil {
			r.doc = doc
		}
		r.payload = wire.AppendUpdateAccepted(r.payload[:0], r.token, u.Time, state, doc)
		err = r.tooLarge()
	}
	if err != nil {
		b.log.Error("update accepted without its document", "thing", r.thing, "job", r.jobID, "err", err)
		r.payload = wire.AppendUpdateAccepted(r.payload[:0], r.token, u.Time, state, nil)
		if r.tooLarge() != nil {
			r.payload = wire.AppendUpdateAccepted(r.payload[:0], r.token, u.Time, nil, nil)
		}
	}
	return nil
}

// document fills the placeholders into buf. It gives nil for no document.
func (b *Broker) document(buf []byte, doc *jobsvc.Document) ([]byte, error) {
	if doc == nil {
		return nil, nil
	}
	out, err := b.documents.Substitute(buf[:0], doc, b.now())
	if err != nil {
		return nil, err
	}
	return out, nil
}

// tooLarge refuses a reply that must not be sent.
func (r *request) tooLarge() error {
	r.suffix = "/accepted"
	switch {
	case len(r.payload) > jobsvc.MaxMessageBytes:
		return jobsvc.Errorf(jobsvc.CodeInternal, "The reply has more than %d bytes.", jobsvc.MaxMessageBytes)
	case !r.c.fits(&r.publish) && len(r.doc) > 0:
		return jobsvc.Errorf(jobsvc.CodeInternal, "Document does not fit the client's Maximum Packet Size.")
	case !r.c.fits(&r.publish):
		return jobsvc.Errorf(jobsvc.CodeInternal, "The reply does not fit the client's Maximum Packet Size.")
	}
	return nil
}

// fits tells whether the client takes packets of that size.
func (c *client) fits(p *publish) bool {
	return c.maxPacket == 0 || p.size() <= int(c.maxPacket)
}

// plainDocuments stands in where nothing can be signed.
type plainDocuments struct{}

func (plainDocuments) Substitute(dst []byte, doc *jobsvc.Document, _ time.Time) ([]byte, error) {
	if bytes.Contains(doc.Text, []byte("${aws:iot:")) {
		return nil, jobsvc.Errorf(jobsvc.CodeInternal, "This server cannot sign URLs.")
	}
	return append(dst, doc.Text...), nil
}
