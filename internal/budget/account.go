package budget

import "context"

// Account counts what one holder has taken from a Budget, such as a connection or an operation. Only one goroutine may use it
// at a time. A nil Account refuses nothing and holds nothing.
type Account struct {
	budget    *Budget
	caller    string
	allowance int64
	held      [kinds]int64 // includes the allowance
	sum       int64        // of held
	taken     [kinds]int64 // from the budget
}

// Caller returns the caller that the Account takes for. It is empty for a nil Account.
func (a *Account) Caller() string {
	if a == nil {
		return ""
	}
	return a.caller
}

// Take takes more bytes. If they do not fit, it takes nothing and returns [ErrFull] or [ErrShare].
func (a *Account) Take(kind Kind, bytes int) error {
	missing := a.missing(bytes)
	if missing > 0 {
		if err := a.budget.take(a.caller, kind, missing); err != nil {
			return err
		}
	}
	a.took(kind, bytes, missing)
	return nil
}

// missing returns how many of the bytes the budget must give: those that the allowance does not cover.
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

// Give gives taken bytes back.
func (a *Account) Give(kind Kind, bytes int) {
	if a == nil || bytes <= 0 {
		return
	}
	n := min(int64(bytes), a.held[kind])
	a.held[kind] -= n
	a.sum -= n
	if back := min(n, a.taken[kind]); back > 0 {
		a.taken[kind] -= back
		a.budget.give(a.caller, kind, back)
	}
}

// Held returns how many bytes of a kind the Account holds. It includes the allowance.
func (a *Account) Held(kind Kind) int {
	if a == nil {
		return 0
	}
	return int(a.held[kind])
}

// Set takes bytes or gives them back, so that the Account holds that many of a kind. Its errors are Take's.
func (a *Account) Set(kind Kind, bytes int) error {
	held := a.Held(kind)
	if bytes < held {
		a.Give(kind, held-bytes)
		return nil
	}
	return a.Take(kind, bytes-held)
}

// Close gives everything back. It may be called more than once.
func (a *Account) Close() {
	if a == nil {
		return
	}
	for kind := range kinds {
		a.Give(kind, int(a.held[kind]))
	}
}

type accountKey struct{}

// With returns a context for an operation that takes its memory through a.
func With(ctx context.Context, a *Account) context.Context {
	return context.WithValue(ctx, accountKey{}, a)
}

// From returns the Account of ctx's operation. It is nil if there is none.
func From(ctx context.Context) *Account {
	a, _ := ctx.Value(accountKey{}).(*Account)
	return a
}
