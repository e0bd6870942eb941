using CsCheck;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Profiles;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Streams;
using Fleet.Silo;

namespace Fleet.Agreement.Tests;

/// <summary>
/// One law, three engines: a live silo, a simulated cluster and the bare procedures answer the same sequence alike.
/// </summary>
[Trait("tier", "sim")]
public sealed class AgreementTests
{
    /// <summary>How many sequences; a longer run is asked for by setting it.</summary>
    private const string SequencesVariable = "FLEET_AGREEMENT_SEQUENCES";

    private const int SequencesDefault = 10_000;
    private const int MovesMax = 24;
    private const ulong ResourceBytes = 64 * 1024;

    private static readonly string[] Profiles = ["ALL", "CLEAN", "X6-5", "P0"];

    // Goal: what a sequence of operations answers does not depend on the engine that runs the law.
    // Method: random sequences on a fresh device each; after every operation all answers and what is open are compared.
    // CsCheck shrinks a sequence that differs and prints it.
    [Fact]
    public async Task Live_fleet_simulation_and_bare_law_answer_alike()
    {
        var sequences = int.TryParse(Environment.GetEnvironmentVariable(SequencesVariable), out var asked)
            ? asked : SequencesDefault;
        await using var fleet = await EmbeddedFleet.StartAsync(
            new EmbeddedFleetOptions
            {
                Run = "agreement-" + Guid.NewGuid().ToString("n"),
                Objects = new ObjectTable(),
                Log = new NoLog(),
                LongPoll = TimeSpan.FromMilliseconds(500),
            },
            CancellationToken.None);
        var devices = 0L;
        await Gen.Select(Gen.Int[0, Profiles.Length - 1], Gen.Int[1, 2], Move.Any.Array[1, MovesMax]).SampleAsync(
            async (profile, resources, moves) =>
            {
                var place = Interlocked.Increment(ref devices);
                var difference = await Difference(fleet.Grains, place, Profiles[profile], resources, moves);
                Assert.True(difference is null, difference);
            },
            iter: sequences, threads: 2, print: one =>
                $"{Profiles[one.Item1]}, {one.Item2} resource(s): {string.Join(", ", one.Item3)}");
    }

    // Goal: the comparison sees a difference.
    [Fact]
    public async Task A_sequence_that_differs_is_seen()
    {
        var direct = await Run(new DirectEngine(Profile("ALL"), Bars(1, 1)), null, [new(MoveKind.Bind, 0, 1)]);
        var other = await Run(
            new DirectEngine(Profile("ALL"), Bars(1, 1)), null, [new(MoveKind.Alloc, 0, 1)]);
        Assert.NotEqual(direct, other);
    }

    private static async Task<string?> Difference(
        IGrainFactory grains, long place, string profile, int resources, Move[] moves)
    {
        var bars = Bars(place, resources);
        var plan = new DevicePlan($"agreement-{place:d7}/0000:01:00.0", "p2pdma", bars);
        var run = new RunPlan("agreement", profile, 1, TimeSpan.FromMilliseconds(50), 30, []);
        var live = new LiveEngine(grains, plan);
        await live.Configure(run);
        var expected = await Run(new DirectEngine(Profile(profile), bars), null, moves);
        var simulated = await Run(new SimulatedEngine(run, plan), expected, moves);
        var actual = await Run(live, expected, moves);
        for (var i = 0; i < expected.Count; i++)
        {
            if (expected[i] != simulated[i] || expected[i] != actual[i])
            {
                return $"{profile}, step {i} ({moves[i]}): law {expected[i]}, simulation {simulated[i]}, "
                    + $"live {actual[i]}";
            }
        }

        return null;
    }

    /// <param name="expected">What the first engine answered: its handles are used.</param>
    private static async Task<List<Result>> Run(IEngine engine, List<Result>? expected, Move[] moves)
    {
        // The bare law has no scheduler: what it waits for goes on where it is found to be there.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        var results = new List<Result>();
        var held = new List<Held>();
        var gone = new List<Held>();
        var isOpen = false;
        for (var i = 0; i < moves.Length; i++)
        {
            var move = moves[i];
            var result = move.Kind switch
            {
                MoveKind.Alloc => await engine.Alloc((ulong)move.Pages * 4096),
                MoveKind.Free when held.Count > 0 => await Free(Pick(held, move.Pick)),
                MoveKind.FreeAgain when gone.Count > 0 => await engine.Free(Pick(gone, move.Pick)),
                MoveKind.Write when held.Count > 0 => await engine.Access(Pick(held, move.Pick), (ulong)i + 1),
                MoveKind.Read when held.Count > 0 => await engine.Access(Pick(held, move.Pick), 0),
                MoveKind.Unbind when !isOpen => await engine.Unbind(),
                MoveKind.Bind when !isOpen => await engine.Bind(),
                _ => Result.None,
            };
            if (move.Kind is MoveKind.Alloc && result.Err is Errno.OK)
            {
                held.Add(new(result.Number, result.Address, (ulong)move.Pages * 4096, result.Resource));
            }

            isOpen = await engine.IsOpen(expected is not null && expected[i].IsOpen);
            results.Add(result with { IsOpen = isOpen });
            if (expected is not null && results[i] != expected[i])
            {
                // The rest would follow from this: it is not worth waiting for.
                results.AddRange(expected.Skip(i + 1));
                break;
            }
        }

        return results;

        async ValueTask<Result> Free(Held one)
        {
            held.Remove(one);
            gone.Add(one);
            return await engine.Free(one);
        }
    }

    private static Held Pick(List<Held> from, int pick) => from[pick % from.Count];

    private static KernelProfile Profile(string name) =>
        KernelProfile.TryParse(name, out var profile) ? profile : throw new ArgumentException(name);

    private static PciBar[] Bars(long place, int resources) =>
    [
        .. Enumerable.Range(0, resources).Select(resource => new PciBar(
            resource * 2, true, 0x40_0000_0000UL + ((((ulong)place * 2) + (ulong)resource) << 27), ResourceBytes)),
    ];

    private sealed class NoLog : ILifecycleLog
    {
        public ValueTask CommitAsync(IReadOnlyList<HistoryEvent> events) => ValueTask.CompletedTask;
    }
}
