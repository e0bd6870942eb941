using static Fleet.Kernel.Tests.Genalloc.PoolUnderTest;

namespace Fleet.Kernel.Tests.Genalloc;

/// <summary>Alloc and free happen at one moment each, under the scheduler and under real threads.</summary>
[Trait("tier", "fast")]
public sealed class GenPoolLinearizabilityTests
{
    private const int Granules = 68;
    private static readonly int[] Occupied = [.. Enumerable.Range(0, 61)];
    private static readonly UInt128 Busy = (UInt128.One << 61) - 1;

    // Goal: every schedule of two callers can be explained, blocks across a word boundary included.
    [Fact]
    public void Every_schedule_of_two_callers_is_linearizable()
    {
        var runs = Interleavings.RunAll(() =>
        {
            var world = new Scheduled([[2], [4]]);
            return (world.Actors, schedule => Assert.True(world.IsLinearizable(), schedule));
        });
        Assert.True(runs > 10_000, $"{runs} schedules");
    }

    // Method: three callers of three blocks each, more than there is room for; schedules are drawn from one seed.
    [Fact]
    public void Drawn_schedules_of_three_callers_are_linearizable()
    {
        var random = new Random(20_190_613);
        var refusals = 0;
        for (var run = 0; run < 3000; run++)
        {
            var world = new Scheduled([.. Enumerable.Range(0, 3).Select(_ => Sizes(random))]);
            var schedule = new System.Text.StringBuilder();
            for (var ready = Enumerable.Range(0, 3).ToList(); ready.Count > 0;)
            {
                var actor = ready[random.Next(ready.Count)];
                schedule.Append((char)('A' + actor));
                if (!world.Actors[actor]())
                {
                    ready.Remove(actor);
                }
            }

            Assert.True(world.IsLinearizable(), $"{run}: {schedule}");
            refusals += world.Refusals;
        }

        Assert.True(refusals > 100, $"{refusals} refusals");
    }

    // Method: the same with threads; the moments come from one counter, so their order is that of the machine.
    [Fact]
    public void Histories_of_real_threads_are_linearizable()
    {
        const int Threads = 3;
        const int Rounds = 1500;
        var random = new Random(20_190_613);
        var sizes = Enumerable.Range(0, Rounds)
            .Select(_ => Enumerable.Range(0, Threads).Select(_ => Sizes(random)).ToArray()).ToArray();
        var pools = sizes.Select(_ => With(Granules, Occupied)).ToArray();
        var histories = sizes.Select(_ => new List<PoolOperation>[Threads]).ToArray();
        var clock = 0L;
        using var together = new Barrier(Threads);
        var threads = Enumerable.Range(0, Threads).Select(name => new Thread(() =>
        {
            for (var round = 0; round < Rounds; round++)
            {
                together.SignalAndWait();
                histories[round][name] = Run(pools[round], sizes[round][name], ref clock);
            }
        })).ToList();
        threads.ForEach(thread => thread.Start());
        threads.ForEach(thread => thread.Join());

        for (var round = 0; round < Rounds; round++)
        {
            var history = histories[round].SelectMany(one => one).ToArray();
            Assert.True(new PoolHistory(Granules, history).IsLinearizable(Busy), string.Join('\n', history.ToList()));
            Assert.Equal([new(0, 61)], pools[round].Chunks.Single().BusyRuns());
            Assert.Equal((ulong)(Granules - 61) * Granule, pools[round].AvailBytes);
        }
    }

    // Goal: the judge has teeth. Method: histories that no order explains, beside the nearest ones that one does.
    [Fact]
    public void What_cannot_be_explained_is_refused()
    {
        static bool Judge(params PoolOperation[] history) => new PoolHistory(Granules, history).IsLinearizable(Busy);

        // One place given to two; the same with a free in between.
        Assert.False(Judge(new(true, 2, 61, 1, 3), new(true, 2, 62, 2, 4)));
        Assert.False(Judge(new(true, 2, 61, 1, 2), new(true, 2, 61, 3, 6), new(false, 2, 61, 7, 8)));
        Assert.True(Judge(new(true, 2, 61, 1, 2), new(true, 2, 61, 3, 6), new(false, 2, 61, 4, 5)));

        // Refused, or not the lowest place: only beside somebody else.
        Assert.False(Judge(new(true, 2, null, 1, 2), new(true, 2, 61, 3, 4)));
        Assert.True(Judge(new(true, 2, null, 1, 3), new(true, 2, 61, 2, 4)));
        Assert.False(Judge(new(true, 2, 63, 1, 2), new(true, 2, 61, 3, 4)));
        Assert.True(Judge(new(true, 2, 63, 1, 3), new(true, 2, 61, 2, 4)));

        // Freed without having been allocated; a free that took effect after it returned; beyond the end.
        Assert.False(Judge(new PoolOperation(false, 1, 61, 1, 2)));
        Assert.False(Judge(
            new(true, 7, 61, 1, 2), new(false, 7, 61, 3, 4), new(true, 7, null, 5, 6)));
        Assert.False(Judge(new PoolOperation(true, 2, 67, 1, 2)));
    }

    // Goal: the schedules find a compare-and-swap that is torn into a test and a set.
    [Fact]
    public void A_planted_test_then_set_is_not_linearizable()
    {
        var bad = 0;
        Interleavings.RunAll(() =>
        {
            var word = Busy;
            var clock = 0L;
            var history = new List<PoolOperation>();
            return ([Torn(), Torn()], _ =>
                bad += new PoolHistory(Granules, [.. history]).IsLinearizable(Busy) ? 0 : 1);

            Func<bool> Torn()
            {
                var (called, seen) = (-1L, UInt128.Zero);
                return () =>
                {
                    if (called < 0)
                    {
                        (called, seen) = (clock++, word);
                        return true;
                    }

                    var place = (int)UInt128.TrailingZeroCount(~seen);
                    word = seen | (UInt128.One << place);
                    history.Add(new(true, 1, place, called, clock++));
                    return false;
                };
            }
        });
        Assert.Equal(4, bad);
    }

    private static int[] Sizes(Random random) => [.. Enumerable.Range(0, 3).Select(_ => 1 + random.Next(4))];

    /// <summary>Takes all its blocks, then gives back those that it was given.</summary>
    private static List<PoolOperation> Run(GenPool pool, int[] sizes, ref long clock)
    {
        var history = new List<PoolOperation>();
        foreach (var size in sizes)
        {
            var called = Interlocked.Increment(ref clock);
            var first = pool.Index(size, GenPoolAlgorithm.FirstFit);
            history.Add(new(true, size, (int?)first, called, Interlocked.Increment(ref clock)));
        }

        foreach (var taken in history.Where(one => one.First is not null).ToList())
        {
            var called = Interlocked.Increment(ref clock);
            pool.FreeOwner(Base + ((ulong)taken.First! * Granule), (ulong)taken.Granules * Granule);
            history.Add(taken with { IsAlloc = false, Called = called, Returned = Interlocked.Increment(ref clock) });
        }

        return history;
    }

    /// <summary>Callers whose every atomic step is one turn of the scheduler.</summary>
    private sealed class Scheduled
    {
        private readonly GenPool _pool = With(Granules, Occupied);
        private readonly List<PoolOperation> _history = [];
        private long _clock;

        public Scheduled(int[][] sizes) => Actors = [.. sizes.Select(Caller)];

        public Func<bool>[] Actors { get; }

        public int Refusals => _history.Count(one => one.First is null);

        public bool IsLinearizable() => new PoolHistory(Granules, [.. _history]).IsLinearizable(Busy);

        private Func<bool> Caller(int[] sizes)
        {
            var steps = Steps(sizes).GetEnumerator();
            steps.MoveNext();
            return steps.MoveNext;
        }

        /// <summary>Stands before the first step of an operation when that has been called and not begun.</summary>
        private IEnumerable<bool> Steps(int[] sizes)
        {
            var taken = new List<PoolOperation>();
            foreach (var size in sizes)
            {
                var called = -1L;
                var alloc = _pool.BeginAlloc((ulong)size * Granule);
                while (!alloc.IsDone)
                {
                    yield return true;
                    called = called < 0 ? _clock++ : called;
                    alloc.Next();
                }

                _history.Add(new(true, size, (int?)alloc.Result.Index(), called, _clock++));
                taken.Add(_history[^1]);
            }

            foreach (var one in taken.Where(one => one.First is not null))
            {
                var called = -1L;
                var free = _pool.BeginFree(Base + ((ulong)one.First! * Granule), (ulong)one.Granules * Granule);
                while (!free.IsDone)
                {
                    yield return true;
                    called = called < 0 ? _clock++ : called;
                    free.Next();
                }

                _history.Add(one with { IsAlloc = false, Called = called, Returned = _clock++ });
            }
        }
    }
}
