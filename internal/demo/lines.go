package demo

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// forever is a number of lines that is never reached.
const forever = math.MaxInt

// writeLines writes n lines to a run's log, two or three a second.
func (c *Cluster) writeLines(ctx context.Context, r run, line func(int) string, n int) error {
	for i := range n {
		if err := pause(ctx, time.Duration(200+rand.IntN(600))*time.Millisecond); err != nil {
			return err
		}
		fmt.Fprintln(r.log, line(i))
	}
	return nil
}

func pick[T any](choices ...T) T { return choices[rand.IntN(len(choices))] }

func migrationLine(i int) string {
	return []string{
		"INFO  connecting to postgres://checkout@db.shop:5432/checkout",
		"INFO  schema is at version 41",
		"INFO  applying 0042_add_voucher_index.up.sql",
		"INFO  applying 0043_drop_legacy_cart.up.sql",
		"INFO  schema is at version 43, done",
	}[i%5]
}

func checkoutLine(i int) string {
	order := 480_000 + i
	switch rand.IntN(12) {
	case 0:
		return fmt.Sprintf(`{"level":"warn","msg":"voucher rejected","order":%d,"voucher":"SPRING-%03d","reason":"expired"}`,
			order, rand.IntN(1000))
	case 1:
		return fmt.Sprintf(`{"level":"error","msg":"payment declined","order":%d,"code":"insufficient_funds","attempt":%d}`,
			order, 1+rand.IntN(3))
	case 2:
		return fmt.Sprintf(`{"level":"debug","msg":"cart cache refreshed","carts":%d,"took":"%dms"}`,
			200+rand.IntN(400), 2+rand.IntN(30))
	default:
		return fmt.Sprintf(`{"level":"info","msg":"order placed","order":%d,"items":%d,"total":"%d.%02d EUR","took":"%dms"}`,
			order, 1+rand.IntN(9), 5+rand.IntN(300), rand.IntN(100), 20+rand.IntN(180))
	}
}

func proxyLine(int) string {
	return fmt.Sprintf(`[%s] "%s %s HTTP/1.1" %d - %d %d "10.244.%d.%d" "shop-web/4.2"`,
		time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), pick("GET", "GET", "GET", "POST", "PUT"),
		pick("/cart", "/cart/items", "/checkout", "/checkout/confirm", "/healthz", "/vouchers"),
		pick(200, 200, 200, 200, 201, 204, 304, 404, 503), rand.IntN(9000), 1+rand.IntN(240), rand.IntN(8), 1+rand.IntN(250))
}

func paymentLine(i int) string {
	if i == 0 {
		return "INFO  payments 9.4.2 listening on :8080, provider sandbox-eu"
	}
	if i > 60 && i%4 == 0 {
		return fmt.Sprintf("WARN  heap at %d %% of its limit, dropping the settlement cache", 60+i/2)
	}
	return fmt.Sprintf("%s  settled %s %d.%02d EUR with provider in %d ms", pick("INFO", "INFO", "INFO", "DEBUG"),
		pick("card", "card", "sepa", "wallet"), 1+rand.IntN(400), rand.IntN(100), 40+rand.IntN(500))
}

func reportLine(i int) string {
	if i == 19 {
		return "INFO  report written to s3://shop-reports/sales.parquet"
	}
	region := pick("emea", "apac", "amer", "nordics")
	return fmt.Sprintf("INFO  aggregated region %s: %d orders", region, 1000+rand.IntN(9000))
}
