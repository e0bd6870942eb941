using System.CommandLine;
using System.Globalization;
using Fleet.LoadTests.Checking;
using Fleet.LoadTests.Cold;
using Fleet.LoadTests.Exploration;
using Fleet.LoadTests.HotPath;
using Fleet.LoadTests.Law;
using Fleet.LoadTests.Load;
using Fleet.LoadTests.Measuring;
using Fleet.LoadTests.Recovery;
using Fleet.LoadTests.Scaling;
using Fleet.LoadTests.Simulating;
using Fleet.LoadTests.Startup;
using Fleet.LoadTests.Storage;

namespace Fleet.LoadTests;

/// <summary>Entry of the benchmarks: <c>dotnet run -c Release --project loadtests -- bench [NAME…]</c>.</summary>
internal static class Program
{
    private static readonly Dictionary<string, Func<bool, CancellationToken, Task<IReadOnlyList<Line>>>> Benchmarks =
        new()
        {
            [HotPathBench.Name] = HotPathBench.RunAsync,
            [RecordingBench.Name] = RecordingBench.RunAsync,
            [MemoryBench.Name] = MemoryBench.RunAsync,
            [ColdBench.Name] = ColdBench.RunAsync,
            [LawBench.Name] = LawBench.RunAsync,
            [ExploreBench.Name] = ExploreBench.RunAsync,
            [StorageBench.Name] = StorageBench.RunAsync,
            [CheckerBench.Name] = CheckerBench.RunAsync,
            [LivesBench.Name] = LivesBench.RunAsync,
            [LoadBench.Name] = LoadBench.RunAsync,
            [SimulateBench.Name] = SimulateBench.RunAsync,
            [RecoveryBench.Name] = RecoveryBench.RunAsync,
            [StartupBench.Name] = StartupBench.RunAsync,
            [SettingsBench.Name] = SettingsBench.RunAsync,
            [ScalingBench.Name] = ScalingBench.RunAsync,
            [ScalingBench.Devices] = ScalingBench.DevicesAsync,
            [ScalingBench.Clients] = ScalingBench.ClientsAsync,
            [ScalingBench.Silos] = ScalingBench.SilosAsync,
            [ScalingBench.History] = ScalingBench.HistoryAsync,
            [ScalingBench.LongHistory] = ScalingBench.LongHistoryAsync,
            [SimulatedScaling.Name] = SimulatedScaling.RunAsync,
        };

    /// <summary>Parts of another benchmark, or too long to run unasked.</summary>
    private static readonly HashSet<string> OnlyWhenNamed =
    [
        ScalingBench.Devices, ScalingBench.Clients, ScalingBench.Silos, ScalingBench.History,
        ScalingBench.LongHistory, SettingsBench.Name,
    ];

    private static Task<int> Main(string[] args)
    {
        if (args is [SiloProcess.Name, ..])
        {
            return SiloProcess.RunAsync(args);
        }

        // Processes that benchmarks start: they must not pay for a command line.
        if (args is [Child.Verb, var what, .. var rest])
        {
            return what == Child.Nothing ? Task.FromResult(0) : ChildAsync(what, rest);
        }

        var names = new Argument<string[]>("NAME")
        {
            Description = "Benchmarks to run; all when none is named: " + string.Join(", ", Benchmarks.Keys),
            Arity = ArgumentArity.ZeroOrMore,
        };
        var quick = new Option<bool>("--quick") { Description = "Short rounds: figures to look at, not to quote." };
        var json = new Option<string?>("--out")
        {
            Description = "File to write the table to, as JSON with commit, machine and options."
        };
        var bench = new Command(
            "bench", "Measures Fleet beside its floors, in one process and in turns; prints, never asserts.")
        {
            names, quick, json
        };
        bench.SetAction((parsed, ct) => BenchAsync(
            parsed.GetValue(names) ?? [], parsed.GetValue(quick), parsed.GetValue(json), ct));
        return new RootCommand("Load tests and benchmarks of Fleet.") { bench }.Parse(args).InvokeAsync();
    }

    private static Task<int> ChildAsync(string what, string[] rest) => Child.RunAsync(
        what, rest is [var seconds] ? double.Parse(seconds, CultureInfo.InvariantCulture) : 0);

    private static async Task<int> BenchAsync(string[] names, bool isQuick, string? path, CancellationToken ct)
    {
        if (names.FirstOrDefault(name => !Benchmarks.ContainsKey(name)) is { } unknown)
        {
            await Console.Error.WriteLineAsync(
                $"loadtests: there is no benchmark '{unknown}'; accepted: {string.Join(", ", Benchmarks.Keys)}.");
            return 64;
        }

        var lines = new List<Line>();
        foreach (var (name, run) in Benchmarks)
        {
            if (names.Length == 0 ? !OnlyWhenNamed.Contains(name) : names.Contains(name))
            {
                lines.AddRange(await run(isQuick, ct));
            }
        }

        Report.Print(lines);
        if (path is not null)
        {
            await Report.WriteAsync(path, lines, isQuick);
        }

        return 0;
    }
}
