package lru

import "testing"

func TestTheLeastRecentlyUsedEntryIsEvicted(t *testing.T) {
	c := New[string, int](10)
	c.Add("a", 1, 4)
	c.Add("b", 2, 4)
	c.Get("a")
	c.Add("c", 3, 4)
	expect(t, c, map[string]int{"a": 1, "c": 3}, 8, "b")
}

func TestAddReplacesAnEntryAndItsWeight(t *testing.T) {
	c := New[string, int](10)
	c.Add("a", 1, 4)
	c.Add("b", 2, 4)
	c.Add("a", 3, 6)
	expect(t, c, map[string]int{"a": 3, "b": 2}, 10)
}

func TestAnEntryHeavierThanTheCacheEvictsNothing(t *testing.T) {
	c := New[string, int](10)
	c.Add("a", 1, 4)
	c.Add("b", 2, 4)
	c.Add("a", 3, 11)
	expect(t, c, map[string]int{"b": 2}, 4, "a")
}

func TestAllWhoAddTheSameKeyGetTheFirstValue(t *testing.T) {
	c := New[string, int](10)
	if got := c.GetOrAdd("a", 1, 4); got != 1 {
		t.Errorf("got %d", got)
	}
	if got := c.GetOrAdd("a", 2, 5); got != 1 {
		t.Errorf("got %d", got)
	}
	expect(t, c, map[string]int{"a": 1}, 4)
}

func expect(t *testing.T, c *Cache[string, int], kept map[string]int, weight int, forgotten ...string) {
	t.Helper()
	for key, want := range kept {
		if got, ok := c.Get(key); !ok || got != want {
			t.Errorf("%s: got %d, %v; want %d", key, got, ok, want)
		}
	}
	for _, key := range forgotten {
		if _, ok := c.Get(key); ok {
			t.Errorf("%s is still there", key)
		}
	}
	if got := c.Weight(); got != weight {
		t.Errorf("weight %d, want %d", got, weight)
	}
}
