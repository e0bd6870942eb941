using System.Numerics;
using Fleet.Kernel;
using Fleet.LoadTests.Measuring;

namespace Fleet.LoadTests.Law;

/// <summary>
/// The primitives beside the plainest thing that could do the same work, and what a large pool holds.
/// </summary>
internal static class LawBench
{
    public const string Name = "law";
    private const ulong Page = 4096;
    private const int Batch = 4096;

    public static async Task<IReadOnlyList<Line>> RunAsync(bool isQuick, CancellationToken ct)
    {
        var warmUp = TimeSpan.FromSeconds(isQuick ? 0.1 : 1);
        var round = TimeSpan.FromSeconds(isQuick ? 0.1 : 1);
        var rounds = isQuick ? 3 : 5;
        var pool = await Interleaved.RunAsync(
            Name, new Contender("bare scan of a bitmap", BareBitmap()),
            [new Contender("GenPool alloc+free pairs, 4,096 granules half full", HalfFullPool())],
            warmUp, round, rounds, ct: ct);
        var reference = await Interleaved.RunAsync(
            Name, new Contender("interlocked increment and decrement", InterlockedPair()),
            [new Contender("PercpuRef tryget_live+put pairs, per-CPU mode", LiveRef())], warmUp, round, rounds, ct: ct);
        var cycle = await Interleaved.RunAsync(
            Name, new Contender("eight closures on a list, run newest first", Closures()),
            [new Contender("bind and unbind of a p2pdma device, one page", Cycles(default(Nobody)))],
            warmUp, round, rounds, ct: ct);
        var heardCycle = await Interleaved.RunAsync(
            Name, new Contender("nobody listens", Cycles(default(Nobody))),
            [new Contender("bind and unbind, a listener counts events", Cycles(new Counting(new long[256])))],
            warmUp, round, rounds, ct: ct);
        var procedure = await Interleaved.RunAsync(
            Name, new Contender("bare GenPool and PercpuRef", BarePair()),
            [
                new Contender("p2pmem alloc and free, nobody listens", Pairs(default(Nobody))),
                new Contender("p2pmem alloc and free, a listener counts events", Pairs(new Counting(new long[256]))),
            ],
            warmUp, round, rounds, ct: ct);
        return
        [
            Line.Of(pool[0], ""),
            Line.Of(reference[0], ""),
            Line.Of(cycle[0], ""),
            Line.Of(heardCycle[0], ""),
            Line.Of(procedure[0], ""),
            Line.Of(procedure[1], "the same as when nobody listens"),
            BytesHeld(),
        ];
    }

    private static Func<TimeSpan, Task<long>> Cycles<TEar>(TEar ear)
        where TEar : struct, IEar
    {
        var machine = new LawMachine();
        var host = new LawHost<TEar>(machine, ear);
        return Loop(() => machine.Cycle(host), perBatch: 1);
    }

    private static Func<TimeSpan, Task<long>> Pairs<TEar>(TEar ear)
        where TEar : struct, IEar
    {
        var machine = new LawMachine();
        var host = new LawHost<TEar>(machine, ear);
        machine.Bind(host);
        return Loop(() =>
        {
            for (var i = 0; i < Batch; i++)
            {
                machine.AllocFree(host);
            }
        });
    }

    private static Func<TimeSpan, Task<long>> BarePair()
    {
        var reference = new PercpuRef(new RcuDomain(), new Unheard());
        reference.Init(PercpuRefInit.None);
        var pool = new GenPool(Page);
        pool.AddOwner(1UL << 40, 1UL << 40, Page, reference);
        return Loop(() =>
        {
            for (var i = 0; i < Batch; i++)
            {
                var taken = pool.AllocOwner(Page);
                if (((PercpuRef)taken.Owner!).TryGetLive())
                {
                    ((PercpuRef)pool.FreeOwner(taken.Address, Page).Owner!).Put();
                }
            }
        });
    }

    private static Func<TimeSpan, Task<long>> Closures()
    {
        var ran = 0L;
        return Loop(
            () =>
            {
                var stack = new List<Action>();
                for (var i = 0; i < 8; i++)
                {
                    var number = i;
                    stack.Add(() => ran += number);
                }

                for (var i = stack.Count - 1; i >= 0; i--)
                {
                    stack[i]();
                }
            },
            perBatch: 1);
    }

    private static Func<TimeSpan, Task<long>> HalfFullPool()
    {
        var pool = new GenPool(Page);
        pool.AddOwner(1UL << 40, 1UL << 40, 4096 * Page, null);
        var held = Enumerable.Range(0, 4096).Select(_ => pool.AllocOwner(Page).Address).ToArray();
        for (var i = 0; i < held.Length; i += 2)
        {
            pool.FreeOwner(held[i], Page);
        }

        return Loop(() =>
        {
            for (var i = 0; i < Batch; i++)
            {
                pool.FreeOwner(pool.AllocOwner(Page).Address, Page);
            }
        });
    }

    private static Func<TimeSpan, Task<long>> BareBitmap()
    {
        var words = new ulong[64];
        Array.Fill(words, 0xAAAA_AAAA_AAAA_AAAAUL);
        return Loop(() =>
        {
            for (var i = 0; i < Batch; i++)
            {
                var word = 0;
                while (words[word] == ulong.MaxValue)
                {
                    word++;
                }

                var bit = 1UL << BitOperations.TrailingZeroCount(~words[word]);
                words[word] |= bit;
                words[word] &= ~bit;
            }
        });
    }

    private static Func<TimeSpan, Task<long>> LiveRef()
    {
        var reference = new PercpuRef(new RcuDomain(), new Unheard());
        reference.Init(PercpuRefInit.None);
        return Loop(() =>
        {
            for (var i = 0; i < Batch; i++)
            {
                if (reference.TryGetLive())
                {
                    reference.Put();
                }
            }
        });
    }

    private static Func<TimeSpan, Task<long>> InterlockedPair()
    {
        var count = 1L;
        return Loop(() =>
        {
            for (var i = 0; i < Batch; i++)
            {
                Interlocked.Increment(ref count);
                Interlocked.Decrement(ref count);
            }
        });
    }

    private static Line BytesHeld()
    {
        const ulong Bar = 128UL << 30;
        const int Live = 1000;
        var before = GC.GetAllocatedBytesForCurrentThread();
        var pool = new GenPool(Page);
        pool.AddOwner(1UL << 40, 1UL << 40, Bar, null);
        for (var i = 0; i < Live; i++)
        {
            pool.AllocOwner(Page);
        }

        var held = GC.GetAllocatedBytesForCurrentThread() - before;
        GC.KeepAlive(pool);
        return new(Name, "GenPool of a 128 GiB BAR with 1,000 live pages", held, "B", null, null, null, null, null,
            "under 16 KiB", "everything allocated, garbage included");
    }

    private static Func<TimeSpan, Task<long>> Loop(Action batch, int perBatch = Batch) => duration =>
    {
        var until = System.Diagnostics.Stopwatch.GetTimestamp()
            + (long)(duration.TotalSeconds * System.Diagnostics.Stopwatch.Frequency);
        var done = 0L;
        while (System.Diagnostics.Stopwatch.GetTimestamp() < until)
        {
            batch();
            done += perBatch;
        }

        return Task.FromResult(done);
    };

    private sealed class Unheard : IPercpuRefEvents
    {
        public void Released(PercpuRef reference)
        {
        }
    }
}
