package pull

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// fill sets everything in v to something that is not zero. So a new field that the binary form lacks is noticed.
func fill(t *testing.T, v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1_700_000_000, int64(*n)).UTC()))
			return
		}
		for i := range v.NumField() {
			fill(t, v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(t, v.Index(0), n)
		fill(t, v.Index(1), n)
	case reflect.String:
		v.SetString(fmt.Sprint("text ", *n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(-*n) << 20)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint64:
		v.SetUint(^uint64(*n))
	default:
		t.Fatalf("how to fill %s?", v.Type())
	}
}

func encode(t testing.TB, state *State) []byte {
	t.Helper()
	data, err := state.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAStoredStateKeepsEveryField(t *testing.T) {
	var full State
	fill(t, reflect.ValueOf(&full).Elem(), new(int))
	failed := &State{Phase: Failed, Failure: &Failure{LogTail: []string{}}, CreatedAt: time.Unix(-1<<40, 0).UTC()}
	for _, state := range []*State{&full, failed, {}, typical(1)} {
		got := State{Message: "what was there before", RetryOf: new(string)}
		if err := got.UnmarshalBinary(encode(t, state)); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(&got, state) {
			t.Errorf("got  %+v\nwant %+v", &got, state)
		}
	}
}

func TestAStoredFailureHasALogTailAlways(t *testing.T) {
	var got State
	if err := got.UnmarshalBinary(encode(t, &State{Failure: &Failure{}})); err != nil {
		t.Fatal(err)
	}
	if got.Failure.LogTail == nil {
		t.Error("LogTail is nil")
	}
}

func TestWhatIsNotOneStateIsNotReadFromRedis(t *testing.T) {
	data := encode(t, typical(1))
	before := State{ID: "before"}
	refuse := func(what string, data []byte) {
		t.Helper()
		got := before
		if err := got.UnmarshalBinary(data); err == nil {
			t.Errorf("%s was accepted", what)
		} else if !reflect.DeepEqual(got, before) {
			t.Errorf("%s changed the state: %+v", what, got)
		}
	}
	for n := range data {
		refuse(fmt.Sprintf("the first %d bytes of %d", n, len(data)), data[:n])
	}
	refuse("a byte at its end", append(data, 0))
	refuse("a length beyond all bounds", append([]byte{BinaryVersion}, strings.Repeat("\xff", 9)+"\x01"...))
	refuse("a number of 70 bits", append([]byte{BinaryVersion}, strings.Repeat("\xff", 9)+"\x02"...))
}

func TestAStateOfAnotherVersionIsToldFromGarbage(t *testing.T) {
	data := encode(t, typical(1))
	data[0]++
	if err := new(State).UnmarshalBinary(data); !errors.Is(err, ErrOtherVersion) {
		t.Errorf("of another version: %v", err)
	}
	for name, garbage := range map[string][]byte{"nothing": nil, "too short": encode(t, typical(1))[:20]} {
		if err := new(State).UnmarshalBinary(garbage); err == nil || errors.Is(err, ErrOtherVersion) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzStateUnmarshalBinary(f *testing.F) {
	f.Add(encode(f, typical(1)))
	f.Add(encode(f, &State{Failure: &Failure{LogTail: []string{"", "x"}}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		var first, second State
		if first.UnmarshalBinary(data) != nil {
			return
		}
		if err := second.UnmarshalBinary(encode(t, &first)); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(first, second) {
			t.Fatalf("%+v became %+v", first, second)
		}
	})
}

// typical returns a typical state: half done, or for every tenth n failed with a full LogTail.
func typical(n int) *State {
	image, err := ParseImage(fmt.Sprintf("registry.example/team-%d/application:1.%d@%s", n%7, n, someDigest))
	if err != nil {
		panic(err)
	}
	destination, err := image.At("harbor.example/mirror")
	if err != nil {
		panic(err)
	}
	total, speed, left := int64(412_345_678), int64(23_456_789), 9
	created := time.Unix(1_790_000_000+int64(n), 0).UTC()
	state := &State{
		ID:          fmt.Sprintf("20261003-%d", n),
		Image:       image,
		Destination: destination,
		Phase:       Pulling,
		Message:     "copying layer 3 of 9",
		Progress: Progress{
			Percent: 48, BytesDone: 201_234_567, BytesTotal: &total, BytesPerSecond: &speed, SecondsLeft: &left,
		},
		Attempts:  1,
		CreatedAt: created, StartedAt: created.Add(time.Second), UpdatedAt: created.Add(9_123_456_789),
		Revision: Revision{Cluster: 8_123_456, Step: 12},
		Position: Position{Log: "k3b9x2", Seq: 123_456},
	}
	if n%10 == 0 {
		state.Phase, state.FinishedAt = Failed, state.UpdatedAt
		state.Failure = &Failure{Reason: Network, Message: "dial tcp 10.0.0.1:443: connection refused"}
		for line := range MaxLogTail {
			state.Failure.LogTail = append(state.Failure.LogTail, fmt.Sprintf("copying blob %d of 20: 12 MB of 400 MB", line))
		}
	}
	return state
}

const benchmarkPulls = 1000

func BenchmarkDecode1000Pulls(b *testing.B) {
	var binaries, texts [benchmarkPulls][]byte
	for i := range benchmarkPulls {
		state := typical(i)
		binaries[i] = encode(b, state)
		text, err := json.Marshal(state)
		if err != nil {
			b.Fatal(err)
		}
		texts[i] = text
	}
	b.Run("binary", func(b *testing.B) { benchmarkDecode(b, binaries[:], (*State).UnmarshalBinary) })
	b.Run("json", func(b *testing.B) {
		benchmarkDecode(b, texts[:], func(state *State, text []byte) error { return json.Unmarshal(text, state) })
	})
}

func benchmarkDecode(b *testing.B, encoded [][]byte, decode func(*State, []byte) error) {
	size := 0
	for _, one := range encoded {
		size += len(one)
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, one := range encoded {
			if err := decode(new(State), one); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(size)/benchmarkPulls, "bytes/pull")
}

func BenchmarkEncode1000Pulls(b *testing.B) {
	var states [benchmarkPulls]*State
	for i := range states {
		states[i] = typical(i)
	}
	b.ReportAllocs()
	var buffer []byte
	for b.Loop() {
		buffer = buffer[:0]
		for _, state := range states {
			var err error
			if buffer, err = state.AppendBinary(buffer); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// Replicas of different versions share Redis during an update. When this fails, raise BinaryVersion.
func TestTheBinaryFormIsTheOneOfItsVersion(t *testing.T) {
	const form = "070161016200000000000000000000000000000000000000000000000000000000000000000000000000000000"
	b, err := (&State{ID: "a", Namespace: "b"}).AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%x", b); got != form {
		t.Errorf("got %s, want %s", got, form)
	}
}
