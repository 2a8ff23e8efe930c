package wire

import "github.com/thingjobs/thingjobs/jobsvc"

// ListDenialsRequest is the input of GET /operators/denials, which is no operation of AWS.
// "" asks for all.
type ListDenialsRequest struct {
	ThingName, ClientID string
	MaxResults          int
}

// DecodeListDenials reads GET /operators/denials?thingName=&clientId=&maxResults=.
func DecodeListDenials(in *ControlInput) (ListDenialsRequest, error) {
	d := &controlDecoder{in: in}
	r := ListDenialsRequest{ThingName: in.Query.Get("thingName"), ClientID: in.Query.Get("clientId")}
	r.MaxResults = d.page("maxResults", "nextToken").Size()
	return r, d.result()
}

type denial struct {
	What          string      `json:"what"`
	ClientID      string      `json:"clientId,omitempty"`
	CertificateID string      `json:"certificateId,omitempty"`
	Address       string      `json:"address,omitempty"`
	Things        []string    `json:"things,omitempty"`
	Topic         string      `json:"topic,omitempty"`
	Reason        string      `json:"reason"`
	Suggestion    string      `json:"suggestion,omitempty"`
	Count         int64       `json:"count"`
	FirstAt       controlTime `json:"firstAt"`
	LastAt        controlTime `json:"lastAt"`
}

// EncodeListDenials answers with those that fit the request, in the order given.
func EncodeListDenials(list []jobsvc.Denial, r ListDenialsRequest) []byte {
	denials := []denial{}
	for i := range list {
		d := &list[i]
		if len(denials) == r.MaxResults {
			break
		}
		if r.fits(d) {
			denials = append(denials, denial{d.What, d.ClientID, d.CertificateID, d.Address, d.Things, d.Topic, d.Reason, d.Suggestion, d.Count, controlTime(d.First), controlTime(d.Last)})
		}
	}
	return encode(struct {
		Denials []denial `json:"denials"`
	}{denials})
}

func (r *ListDenialsRequest) fits(d *jobsvc.Denial) bool {
	if r.ClientID != "" && r.ClientID != d.ClientID {
		return false
	}
	if r.ThingName == "" || r.ThingName == d.ClientID {
		return true
	}
	for _, t := range d.Things {
		if t == r.ThingName {
			return true
		}
	}
	return false
}
