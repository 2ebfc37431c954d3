package redisclient

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestParseReadsEveryFormOfURL(t *testing.T) {
	for _, c := range []struct {
		url, shown string
		want       redis.UniversalOptions
	}{
		{"redis://cache.example:6380", "redis://cache.example:6380",
			redis.UniversalOptions{Addrs: []string{"cache.example:6380"}}},
		{"redis://cache.example/", "redis://cache.example:6379/",
			redis.UniversalOptions{Addrs: []string{"cache.example:6379"}}},
		{"redis://app:p%40ss%2F@[::1]:6379/3", "redis://[::1]:6379/3",
			redis.UniversalOptions{Addrs: []string{"[::1]:6379"}, Username: "app", Password: "p@ss/", DB: 3}},
		{"redis://:secret@h:1", "redis://h:1",
			redis.UniversalOptions{Addrs: []string{"h:1"}, Password: "secret"}},
		{"redis+sentinel://app:secret@a:1,b/main/2?sentinel_username=s&sentinel_password=t",
			"redis+sentinel://a:1,b:26379/main/2",
			redis.UniversalOptions{Addrs: []string{"a:1", "b:26379"}, MasterName: "main", DB: 2,
				Username: "app", Password: "secret", SentinelUsername: "s", SentinelPassword: "t"}},
		{"redis+cluster://a:1,[fe80::1]:2,c", "redis+cluster://a:1,[fe80::1]:2,c:6379",
			redis.UniversalOptions{Addrs: []string{"a:1", "[fe80::1]:2", "c:6379"}, IsClusterMode: true}},
		{"redis+cluster://a:1", "redis+cluster://a:1",
			redis.UniversalOptions{Addrs: []string{"a:1"}, IsClusterMode: true}},
	} {
		s, err := Parse(c.url)
		if err != nil {
			t.Errorf("Parse(%q): %v", c.url, err)
			continue
		}
		got, want := s.options, c.want
		if !slices.Equal(got.Addrs, want.Addrs) || got.DB != want.DB ||
			got.Username != want.Username || got.Password != want.Password ||
			got.MasterName != want.MasterName || got.IsClusterMode != want.IsClusterMode ||
			got.SentinelUsername != want.SentinelUsername || got.SentinelPassword != want.SentinelPassword {
			t.Errorf("Parse(%q) = %+v", c.url, got)
		}
		if s.String() != c.shown {
			t.Errorf("Parse(%q) shows as %q, want %q", c.url, s, c.shown)
		}
	}
}

func TestParametersInTheURLReachTheClient(t *testing.T) {
	for _, c := range []struct {
		url  string
		want redis.UniversalOptions
	}{
		{"redis://h", redis.UniversalOptions{
			PoolSize: 10, MinIdleConns: 5, MaxRetries: 3, ConnMaxLifetime: time.Hour,
			DialTimeout: 5 * time.Second, ReadTimeout: 3 * time.Second, WriteTimeout: 3 * time.Second,
		}},
		{"redis://h?pool_size=3&max_retries=0&conn_max_lifetime=0&dial_timeout=1s&read_timeout=2s&write_timeout=500ms",
			redis.UniversalOptions{
				PoolSize: 3, MinIdleConns: 3, MaxRetries: noRetries,
				DialTimeout: time.Second, ReadTimeout: 2 * time.Second, WriteTimeout: 500 * time.Millisecond,
			}},
		{"redis://h?pool_size=3&min_idle_conns=0&max_retries=1&conn_max_lifetime=1m", redis.UniversalOptions{
			PoolSize: 3, MaxRetries: 1, ConnMaxLifetime: time.Minute,
			DialTimeout: 5 * time.Second, ReadTimeout: 3 * time.Second, WriteTimeout: 3 * time.Second,
		}},
	} {
		s, err := Parse(c.url)
		if err != nil {
			t.Errorf("Parse(%q): %v", c.url, err)
			continue
		}
		c.want.Addrs = []string{"h:6379"}
		if !reflect.DeepEqual(s.options, c.want) {
			t.Errorf("Parse(%q):\n got %+v\nwant %+v", c.url, s.options, c.want)
		}
	}
}

func TestParseRejectsWrongURLsWithoutShowingPasswords(t *testing.T) {
	notPEM := filepath.Join(t.TempDir(), "not.pem")
	if err := os.WriteFile(notPEM, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ url, says string }{
		{"", "not a URL"},
		{"cache.example:6379", "not a URL"},
		{"http://h", "http:// is not a scheme"},
		{"redis+tls://h", "redis+tls:// is not a scheme"},
		{"redis+://h", "redis+:// is not a scheme"},
		{"rediss+sentinel+cluster://h", "is not a scheme"},
		{"redis://", `"" is not host:port`},
		{"redis://:6379", `":6379" is not host:port`},
		{"redis://h:0", "the port must be 1 to 65535"},
		{"redis://h:70000", "the port must be 1 to 65535"},
		{"redis://h:port", "is not host:port"},
		{"redis://a,b", "several hosts are for"},
		{"redis+cluster://a,,b", `"" is not host:port`},
		{"redis+cluster://a,b c", `"b c" is not host:port`},
		{"redis://h/x", "the database must be a number"},
		{"redis://h/-1", "the database must be a number"},
		{"redis://h/1/2", "the database must be a number"},
		{"redis+sentinel://h", "the name of the master is missing"},
		{"redis+sentinel://h/main/x", "the database must be a number"},
		{"redis+cluster://h/1", "a cluster has only one database"},
		{"redis://h#x", "not a URL"},
		{"redis://Xyz@h", "a user without a password"},
		{"redis://app:Xyz/Xyz@h:1", "write / as %2F"},
		{"redis://app:Xyz?Xyz=1@h:1", "write / as %2F"},
		{"redis://app:Xyz#Xyz@h:1", "write / as %2F"},
		{"redis://app:Xyz%@h:1", "percent-encode"},
		{"redis://app:Xyz Xyz@h:1", "percent-encode"},
		{"redis://h?db=Xyz;x", "name=value"},
		{"redis://h?db=3", "parameter db is not known"},
		{"redis://h?pool_size=3&pool_size=4", "parameter pool_size is given 2 times"},
		{"redis://h?pool_size=0", "pool_size=0: must be 1 to 1000"},
		{"redis://h?pool_size=many", "pool_size=many: must be 1 to 1000"},
		{"redis://h?pool_size=3&min_idle_conns=4", "min_idle_conns=4: must be 0 to 3"},
		{"redis://h?read_timeout=0", "read_timeout=0: must be a duration"},
		{"redis://h?dial_timeout=5", "dial_timeout=5: must be a duration"},
		{"redis://h?tls_ca=x", "parameter tls_ca is not known"},
		{"redis://h?sentinel_password=Xyz", "parameter sentinel_password is not known"},
		{"rediss://h?skip_verify=maybe", "skip_verify=maybe: must be true or false"},
		{"rediss://h?tls_ca=/does/not/exist", "parameter tls_ca: open /does/not/exist"},
		{"rediss://h?tls_ca=" + notPEM, "holds no certificate"},
	} {
		s, err := Parse(c.url)
		switch {
		case err == nil:
			t.Errorf("Parse(%q) = %s", c.url, s)
		case s != nil:
			t.Errorf("Parse(%q) returned settings beside its error", c.url)
		case !strings.Contains(err.Error(), c.says):
			t.Errorf("Parse(%q): %v; want something with %q", c.url, err, c.says)
		case strings.Contains(err.Error(), "Xyz"):
			t.Errorf("Parse(%q) tells the password: %v", c.url, err)
		}
	}
}

// People forget to encode what is special in a password. Whatever that is, no error and no log may show it.
func FuzzParseKeepsThePassword(f *testing.F) {
	for _, password := range []string{"x", "/", "?a=", "#", "@", "%zz", "a:b", "1/", ",", "[", "@h/?"} {
		f.Add(password)
	}
	f.Fuzz(func(t *testing.T, password string) {
		const secret = "Xyzzy"
		for _, whole := range []string{secret + password, password + secret} {
			url := "redis://app:" + whole + "@host:1/2"
			s, err := Parse(url)
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%q: the error is %v", url, err)
			}
			if err == nil && strings.Contains(s.String(), secret) {
				t.Errorf("%q: shown as %s", url, s)
			}
		}
	})
}
