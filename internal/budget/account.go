package budget

import "context"

// Account is what one holder, such as a connection or an operation, has taken. It is for one goroutine at a time. A nil
// Account refuses nothing, and holds nothing.
type Account struct {
	budget    *Budget
	client    string
	allowance int64
	held      [kinds]int64 // the allowance included
	sum       int64        // of held
	taken     [kinds]int64 // from the budget
}

// Client returns who the Account takes for; empty for a nil one.
func (a *Account) Client() string {
	if a == nil {
		return ""
	}
	return a.client
}

// Take takes so many bytes more, or returns [ErrFull] or [ErrShare], and takes nothing.
func (a *Account) Take(kind Kind, bytes int) error {
	missing := a.missing(bytes)
	if missing > 0 {
		if err := a.budget.take(a.client, kind, missing); err != nil {
			return err
		}
	}
	a.took(kind, bytes, missing)
	return nil
}

// missing returns how many of so many bytes more the budget has to be asked for.
func (a *Account) missing(bytes int) int64 {
	if a == nil || a.budget == nil {
		return 0
	}
	return min(int64(bytes), a.sum+int64(bytes)-a.allowance)
}

func (a *Account) took(kind Kind, bytes int, missing int64) {
	if a == nil || bytes <= 0 {
		return
	}
	a.held[kind] += int64(bytes)
	a.sum += int64(bytes)
	a.taken[kind] += max(missing, 0)
}

// Give gives back so many bytes of those that were taken.
func (a *Account) Give(kind Kind, bytes int) {
	if a == nil || bytes <= 0 {
		return
	}
	n := min(int64(bytes), a.held[kind])
	a.held[kind] -= n
	a.sum -= n
	if back := min(n, a.taken[kind]); back > 0 {
		a.taken[kind] -= back
		a.budget.give(a.client, kind, back)
	}
}

// Held returns how many bytes of a kind the Account has, those within its allowance included.
func (a *Account) Held(kind Kind) int {
	if a == nil {
		return 0
	}
	return int(a.held[kind])
}

// Set takes or gives back what makes the Account hold so many bytes of a kind.
func (a *Account) Set(kind Kind, bytes int) error {
	held := a.Held(kind)
	if bytes < held {
		a.Give(kind, held-bytes)
		return nil
	}
	return a.Take(kind, bytes-held)
}

// Close gives back all. It may be called more than once.
func (a *Account) Close() {
	if a == nil {
		return
	}
	for kind := range kinds {
		a.Give(kind, int(a.held[kind]))
	}
}

type accountKey struct{}

// With returns a context for an operation whose memory a counts.
func With(ctx context.Context, a *Account) context.Context {
	return context.WithValue(ctx, accountKey{}, a)
}

// From returns the Account of the operation that ctx belongs to, nil if there is none.
func From(ctx context.Context) *Account {
	a, _ := ctx.Value(accountKey{}).(*Account)
	return a
}
