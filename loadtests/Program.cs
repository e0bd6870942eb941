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
    /// <summary>With what each may take on a busy machine; on a quiet one the quick ones are meant to be done in three
    /// minutes together.</summary>
    private static readonly Benchmark[] Benchmarks =
    [
        Of(HotPathBench.Name, 150, 480, HotPathBench.RunAsync),
        Of(RecordingBench.Name, 150, 120, Benchmark.AtOnce(RecordingBench.RunAsync)),
        Of(MemoryBench.Name, 150, 240, Benchmark.AtOnce(MemoryBench.RunAsync)),
        Of(ColdBench.Name, 150, 300, Benchmark.AtOnce(ColdBench.RunAsync)),
        Of(StorageBench.Name, 150, 480, StorageBench.RunAsync),
        Of(CheckerBench.Name, 150, 360, Benchmark.AtOnce(CheckerBench.RunAsync)),
        Of(StartupBench.Name, 150, 360, StartupBench.RunAsync),
        Of(LawBench.Name, 150, 240, Benchmark.AtOnce(LawBench.RunAsync)),
        Of(ExploreBench.Name, 150, 360, ExploreBench.RunAsync),
        Of(SimulateBench.Name, 150, 240, Benchmark.AtOnce(SimulateBench.RunAsync)),
        Of(LoadBench.Name, 150, 360, Benchmark.AtOnce(LoadBench.RunAsync)),
        Of(LivesBench.Name, 150, 300, Benchmark.AtOnce(LivesBench.RunAsync)),
        Of(RecoveryBench.Name, 300, 600, Benchmark.AtOnce(RecoveryBench.RunAsync), isUnasked: false),
        Of(SimulatedScaling.Name, 150, 3600, SimulatedScaling.RunAsync),
        Of(SettingsBench.Name, 300, 480, SettingsBench.RunAsync, isUnasked: false),
        Of(PlacementBench.Name, 300, 420, PlacementBench.RunAsync, isUnasked: false),
        Of(ScalingBench.Name, 240, 1500, ScalingBench.RunAsync, isUnasked: false),
        Of(ScalingBench.Silos, 300, 360, ScalingBench.SilosAsync, isUnasked: false),
        Of(ScalingBench.Clients, 300, 420, ScalingBench.ClientsAsync, isUnasked: false),
        Of(ScalingBench.Devices, 300, 600, ScalingBench.DevicesAsync, isUnasked: false),
        Of(ScalingBench.History, 60, 420, ScalingBench.HistoryAsync, isUnasked: false),
        Of(ScalingBench.LongerHistory, 60, 1200, ScalingBench.LongerHistoryAsync, isUnasked: false),
        Of(ScalingBench.LongHistory, 60, 7200, ScalingBench.LongHistoryAsync, isUnasked: false),
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
            Description = "Benchmarks to run; when none is named all but recovery, settings, placement and scaling: "
                + Names(),
            Arity = ArgumentArity.ZeroOrMore,
        };
        var quick = new Option<bool>("--quick") { Description = "Short rounds: figures to look at, not to quote." };
        var json = new Option<string?>("--out")
        {
            Description = "File that the figures join, as JSON with commit, machine and options; written at each line.",
        };
        var resume = new Option<bool>("--resume")
        {
            Description = "Leaves out what the file of --out has whole, measured at this commit.",
        };
        var bench = new Command(
            "bench", "Measures Fleet beside its floors, in one process and in turns; prints, never asserts.")
        {
            names, quick, json, resume
        };
        bench.SetAction((parsed, ct) => BenchAsync(
            parsed.GetValue(names) ?? [],
            new BenchRun(parsed.GetValue(quick), parsed.GetValue(json), parsed.GetValue(resume)), ct));
        return new RootCommand("Load tests and benchmarks of Fleet.") { bench, TableCommand() }.Parse(args)
            .InvokeAsync();
    }

    private static Command TableCommand()
    {
        var rounds = new Argument<string[]>("FILE")
        {
            Description = "One or two files that bench --out wrote.",
            Arity = new ArgumentArity(1, 2),
        };
        var documents = new Option<string[]>("--into")
        {
            Description = "Documents with tables between <!-- bench NAME… --> and <!-- /bench -->.",
            DefaultValueFactory = _ => ["docs/performance.md", "docs/scaling.md", "docs/settings.md"],
        };
        var table = new Command("table", "Writes rounds of figures into the documents, side by side.")
        {
            rounds, documents
        };
        table.SetAction(parsed => Console.Write(DocTables.Write(
            [.. parsed.GetValue(rounds)!.Select(BenchFile.Read)], parsed.GetValue(documents)!)));
        return table;
    }

    private static Benchmark Of(
        string name, int quickSeconds, int seconds, Func<bool, CancellationToken, IAsyncEnumerable<Line>> run,
        bool isUnasked = true) =>
        new(name, TimeSpan.FromSeconds(quickSeconds), TimeSpan.FromSeconds(seconds), run) { IsUnasked = isUnasked };

    private static string Names() => string.Join(", ", Benchmarks.Select(benchmark => benchmark.Name));

    private static Task<int> ChildAsync(string what, string[] rest) => Child.RunAsync(
        what, rest is [var seconds] ? double.Parse(seconds, CultureInfo.InvariantCulture) : 0);

    private static async Task<int> BenchAsync(string[] names, BenchRun run, CancellationToken ct)
    {
        if (names.FirstOrDefault(name => Benchmarks.All(one => one.Name != name)) is { } unknown)
        {
            await Console.Error.WriteLineAsync(
                $"loadtests: there is no benchmark '{unknown}'; accepted: {Names()}.");
            return 64;
        }

        return await run.RunAsync(
            Benchmarks.Where(one => names.Length == 0 ? one.IsUnasked : names.Contains(one.Name)), ct) ? 0 : 1;
    }
}
