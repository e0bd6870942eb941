using static Fleet.Kernel.Tests.Genalloc.PoolUnderTest;

namespace Fleet.Kernel.Tests.Genalloc;

/// <summary>All schedules of the atomic steps of two callers, and what B.2 allows them to see.</summary>
[Trait("tier", "fast")]
public sealed class GenPoolInterleavingTests
{
    // Goal: no torn ownership across a word boundary, exact counts and empty bitmaps when all is quiet.
    // Method: granules 62 to 65 are free; both callers allocate two granules by first fit and free them again.
    [Fact]
    public void Two_allocs_and_frees_across_a_word_boundary_never_overlap()
    {
        var runs = Interleavings.RunAll(() =>
        {
            var pool = With(66, [.. Enumerable.Range(0, 62)], owner: "owner");
            var quiet = pool.AvailBytes;
            var holders = new int[66];
            var callers = new[] { new Caller(pool, holders, 1, 2), new Caller(pool, holders, 2, 2) };
            return ([callers[0].Step, callers[1].Step], schedule =>
            {
                var fault = callers[0].Fault ?? callers[1].Fault;
                Assert.True(fault is null, $"{schedule}: {fault}");
                Assert.Equal(quiet, pool.AvailBytes);
                Assert.Equal([new(0, 62)], pool.Chunks.Single().BusyRuns());
            }
            );
        });

        Assert.True(runs > 10_000, $"{runs} schedules");
    }

    // Goal: B.2, concurrent caller 1: a failure although at every instant enough was truly free.
    // Method: only 63 and 64 are free; one caller wants both, the other wants one, then another one.
    [Fact]
    public void A_caller_may_fail_because_of_bits_that_another_rolls_back()
    {
        var outcomes = new SortedSet<string>(StringComparer.Ordinal);
        Interleavings.RunAll(() =>
        {
            var pool = With(65, [.. Enumerable.Range(0, 63)]);
            var both = pool.BeginAlloc(2 * Granule);
            var first = pool.BeginAlloc(Granule);
            var second = pool.BeginAlloc(Granule);
            return (
                [
                    () => Step(ref both),
                    () => first.IsDone ? Step(ref second) : Step(ref first) || true,
                ],
                _ =>
                {
                    var taken = (both.Result.Succeeded ? 2 : 0)
                        + (first.Result.Succeeded ? 1 : 0) + (second.Result.Succeeded ? 1 : 0);
                    Assert.Equal((ulong)(2 - taken) * Granule, pool.AvailBytes);
                    Assert.Equal(63 + taken, pool.Chunks.Single().BusyRuns().Sum(run => run.Count));
                    outcomes.Add(string.Concat(
                        Digit(both.Result), Digit(first.Result), Digit(second.Result)));
                }
            );
        });

        // Spurious: 010 leaves a granule that nobody holds and that the second request was refused.
        Assert.Equal(["010", "011", "100"], outcomes);
    }

    [Fact]
    public void Fixed_at_one_place_is_won_by_exactly_one_of_two()
    {
        var runs = Interleavings.RunAll(() =>
        {
            var pool = With(128, []);
            var left = pool.BeginAlloc(3 * Granule, GenPoolAlgorithm.Fixed(62 * Granule));
            var right = pool.BeginAlloc(3 * Granule, GenPoolAlgorithm.Fixed(62 * Granule));
            return (
                [() => Step(ref left), () => Step(ref right)],
                schedule => Assert.True(left.Result.Succeeded ^ right.Result.Succeeded, schedule));
        });
        Assert.True(runs > 100, $"{runs} schedules");
    }

    // Goal: the schedules above find a torn compare-and-swap.
    // Method: the same two callers on a bitmap whose words are tested in one step and written in the next.
    [Fact]
    public void A_planted_test_then_set_is_caught()
    {
        var overlaps = 0;
        Interleavings.RunAll(() =>
        {
            var word = 0UL;
            var owned = new int[2];
            return (
                [Torn(0).Step, Torn(1).Step],
                _ => overlaps += owned[0] == owned[1] ? 1 : 0);

            TornCaller Torn(int number) => new(() => word, value => word = value, bit => owned[number] = bit);
        });
        Assert.True(overlaps > 0);
    }

    private static bool Step(ref GenPoolAllocStepper stepper)
    {
        stepper.Next();
        return !stepper.IsDone;
    }

    private static char Digit(GenPoolAlloc alloc) => alloc.Succeeded ? '1' : '0';

    /// <summary>Allocates, notes its granules, frees.</summary>
    private sealed class Caller(GenPool pool, int[] holders, int name, int granules)
    {
        private GenPoolAllocStepper _alloc = pool.BeginAlloc((ulong)granules * Granule);
        private GenPoolFreeStepper _free;
        private bool _isFreeing;

        public GenPoolAlloc Result => _alloc.Result;

        public string? Fault { get; private set; }

        public bool Step()
        {
            if (!_isFreeing)
            {
                _alloc.Next();
                if (!_alloc.IsDone)
                {
                    return true;
                }

                if (!Result.Succeeded)
                {
                    return false;
                }

                Hold(0, name);
                Expect(Result.Owner is "owner", "wrong owner of an alloc");
                _free = pool.BeginFree(Result.Address, (ulong)granules * Granule);
                _isFreeing = true;
                return true;
            }

            if (_free.Upcoming is GenPoolStep.ClearWord && holders[Result.Index()!.Value] == name)
            {
                Hold(name, 0);
            }

            _free.Next();
            Expect(_free.Result.Fault is GenPoolFault.None, "a free that is a BUG");
            Expect(!_free.IsDone || _free.Result.Owner is "owner", "wrong owner of a free");
            return !_free.IsDone;
        }

        private void Hold(int before, int after)
        {
            for (var i = Result.Index()!.Value; i < Result.Index()!.Value + granules; i++)
            {
                Expect(holders[i] == before, $"granule {i} is held twice");
                holders[i] = after;
            }
        }

        private void Expect(bool holds, string otherwise) => Fault ??= holds ? null : otherwise;
    }

    /// <summary>Takes the lowest clear bit, but reads and writes the word in two steps.</summary>
    private sealed class TornCaller(Func<ulong> read, Action<ulong> write, Action<int> own)
    {
        private ulong _seen;
        private int _steps;

        public bool Step()
        {
            if (_steps++ == 0)
            {
                _seen = read();
                return true;
            }

            var bit = System.Numerics.BitOperations.TrailingZeroCount(~_seen);
            write(_seen | (1UL << bit));
            own(bit);
            return false;
        }
    }
}
