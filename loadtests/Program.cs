using System.CommandLine;
using System.Globalization;
using Fleet.LoadTests.HotPath;
using Fleet.LoadTests.Measuring;
using Fleet.LoadTests.Profiling;
using Fleet.LoadTests.Startup;

namespace Fleet.LoadTests;

/// <summary>Entry of the benchmarks: <c>dotnet run -c Release --project loadtests -- bench [NAME…]</c>.</summary>
internal static class Program
{
    private const int Usage = 64;

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

        return Create().Parse(args).InvokeAsync();
    }

    internal static RootCommand Create() => new("Load tests and benchmarks of Fleet.")
    {
        BenchCommand(), TableCommand(), ProfileCommand(),
    };

    private static Command BenchCommand()
    {
        var names = new Argument<string[]>("NAME")
        {
            Description = "Benchmarks to run, by the names that --list tells; none: all that take seconds.",
            Arity = ArgumentArity.ZeroOrMore,
        };
        var quick = new Option<bool>("--quick")
        {
            Description = "Short rounds: figures to look at, not to quote; all of them within three minutes.",
        };
        var json = new Option<string?>("--out")
        {
            Description = "File that the figures join, as JSON with commit, machine and options; written at each line.",
        };
        var resume = new Option<bool>("--resume")
        {
            Description = "Leaves out what the file of --out has whole, measured at this commit.",
        };
        var list = new Option<bool>("--list") { Description = "Names, bounds in seconds, and what each measures." };
        var bench = new Command(
            "bench", "Measures Fleet beside its floors, in one process and in turns; prints, never asserts.")
        {
            names, quick, json, resume, list
        };
        bench.SetAction((parsed, ct) => parsed.GetValue(list)
            ? ListAsync()
            : BenchAsync(
                parsed.GetValue(names) ?? [],
                new BenchRun(parsed.GetValue(quick), parsed.GetValue(json), parsed.GetValue(resume)), ct));
        return bench;
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
        table.SetAction(parsed =>
        {
            if (parsed.GetValue(rounds)!.Concat(parsed.GetValue(documents)!).FirstOrDefault(file => !File.Exists(file))
                is { } missing)
            {
                Console.Error.WriteLine($"loadtests: there is no file '{missing}'.");
                return Usage;
            }

            try
            {
                Console.Write(DocTables.Write(
                    [.. parsed.GetValue(rounds)!.Select(BenchFile.Read)], parsed.GetValue(documents)!));
                return 0;
            }
            catch (FormatException e)
            {
                Console.Error.WriteLine($"loadtests: {e.Message}");
                return Usage;
            }
        });
        return table;
    }

    private static Command ProfileCommand()
    {
        var what = new Argument<string>("WHAT")
        {
            Description = "hotpath: single operations, or vectors of 64; cold: activation and bind of devices; heap: "
                + "what idle ones keep; drain: a full spool stored in DuckDB; -bare: the floor of each.",
        };
        what.AcceptOnlyFromAmong(
            [.. HotPathProfile.Accepted, .. ColdProfile.Accepted, HeapProfile.Name, DrainProfile.Name]);
        var seconds = new Option<int>("--seconds")
        {
            Description = "Of each of the two profiles, after warming up.",
            DefaultValueFactory = _ => 10,
        };
        var folder = new Option<string>("--into")
        {
            Description = "Folder of the text.",
            DefaultValueFactory = _ => "docs/figures",
        };
        var profile = new Command(
            "profile",
            "Where the processor time and the allocations of a load go, or what is kept: the first of each, as text.")
        {
            what, seconds, folder
        };
        profile.SetAction(async (parsed, ct) =>
        {
            var (name, into) = (parsed.GetValue(what)!, parsed.GetValue(folder)!);
            var duration = TimeSpan.FromSeconds(parsed.GetValue(seconds));
            Console.WriteLine(
                name is HeapProfile.Name ? await HeapProfile.WriteAsync(into, ct)
                : name is DrainProfile.Name ? await DrainProfile.WriteAsync(duration, into, ct)
                : ColdProfile.Accepted.Contains(name) ? await ColdProfile.WriteAsync(name, duration, into, ct)
                : await HotPathProfile.WriteAsync(name, duration, into, ct));
            return 0;
        });
        return profile;
    }

    private static Task<int> ChildAsync(string what, string[] rest) => Child.RunAsync(
        what, rest is [var seconds] ? double.Parse(seconds, CultureInfo.InvariantCulture) : 0);

    private static Task<int> ListAsync()
    {
        foreach (var one in BenchmarkList.All)
        {
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{one.Name,-26}{(one.IsUnasked ? "" : "if named"),-10}quick {one.QuickMax.TotalSeconds,4:0} s  "
                + $"whole {one.WholeMax.TotalSeconds,4:0} s  {one.Measures}"));
        }

        return Task.FromResult(0);
    }

    private static async Task<int> BenchAsync(string[] names, BenchRun run, CancellationToken ct)
    {
        try
        {
            return await run.RunAsync(names.Length == 0 ? null : BenchmarkList.Named(names), ct) ? 0 : 1;
        }
        catch (Exception e) when (e is ArgumentException or FormatException)
        {
            await Console.Error.WriteLineAsync($"loadtests: {e.Message}");
            return Usage;
        }
    }
}
