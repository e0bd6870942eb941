using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Fleet.Kernel.Host;
using Fleet.Kernel.Judging;
using Fleet.Simulation.Exploration;
using Fleet.Simulation.Replay;
using Spectre.Console;

namespace Fleet.Client.Commands;

/// <summary><c>fleet explore</c>: every schedule of one small world, and the simplest that breaks each rule.</summary>
internal static class ExploreCommand
{
    public static Command Create(Terminal terminal)
    {
        var scenario = new Argument<string>("SCENARIO")
        {
            Description = "A small world, S1 to S30. Changes may follow its name: +late (other CPUs see a kill late), "
                + "+keeps (freed memory keeps its contents), +reuse (freed memory is allocated again), "
                + "+fail=STEP@HIT (one step fails), "
                + "-B (without actor B), +L1 (one resource).",
        };
        var profile = new Option<string>("--profile")
        {
            Description = "The kernel that it runs under.",
            HelpName = "P",
            DefaultValueFactory = _ => "ALL",
        };
        var strategy = new Option<Strategy>("--strategy")
        {
            Description = "How schedules are chosen: auto, exhaustive, sleepsets, sourcedpor, statecache, random, pct, "
                + "coverage.",
        };
        var schedules = CommonOptions.WholeLong(
            "--schedules", 1, 1_000_000_000, "Most schedules; a search stopped by it is bounded, not exhausted.");
        var seed = CommonOptions.WholeLong(
            "--seed", 0, long.MaxValue, "Chooses the schedules of random, pct and coverage.");
        var grace = new Option<GraceLength>("--grace")
        {
            Description = "When callbacks of grace periods run: any (every time is tried), shortest, longest.",
        };
        var failures = new Option<bool>("--failures")
        {
            Description = "Explore once more for each step that can fail, with that failure.",
        };
        var twice = new Option<bool>("--twice")
        {
            Description = "Explore twice and compare the digests of all histories; a difference is kept and exits 70.",
        };
        var asymmetric = new Option<bool>("--no-symmetry")
        {
            Description = "Also begin with each of several identical clients.",
        };
        var json = CommonOptions.Json();
        var command = new Command("explore", "Runs all schedules of one small world and shrinks what breaks a rule.")
        {
            scenario, profile, strategy, schedules, seed, grace, failures, twice, asymmetric, json,
        };
        command.SetAction(parsed =>
        {
            var how = parsed.GetValue(strategy);
            var options = new ExploreOptions { Strategy = how };
            options = options with
            {
                SchedulesMax = parsed.GetValue(schedules)
                    ?? (how is Strategy.Random or Strategy.Pct or Strategy.Coverage ? 100_000 : options.SchedulesMax),
                Seed = (ulong)(parsed.GetValue(seed) ?? 1),
                Grace = parsed.GetValue(grace),
                UsesSymmetry = !parsed.GetValue(asymmetric),
            };
            var (id, kernel) = (parsed.GetRequiredValue(scenario), parsed.GetRequiredValue(profile));
            return Guard(terminal, () => parsed.GetValue(failures)
                ? Sweep(terminal, id, kernel, options, parsed.GetValue(json))
                : Explore(terminal, id, kernel, options, parsed.GetValue(twice), parsed.GetValue(json)));
        });
        return command;
    }

    /// <summary>Runs an exploration: what it cannot read is the caller's mistake, what it trips over is ours.</summary>
    /// <exception cref="UsageException">No such world, profile or token.</exception>
    internal static int Guard(Terminal terminal, Func<int> work)
    {
        try
        {
            return work();
        }
        catch (ArgumentException e)
        {
            throw new UsageException(ForeignText.Clean(e.Message, 1000), e);
        }
        catch (UnrepeatableException e)
        {
            terminal.Error.WriteLine($"fleet: {ForeignText.Clean(e.Message, 1000)} Both are kept in {Keep(e)}.");
            return ExitCode.Harness;
        }
        catch (ExplorationException e)
        {
            terminal.Error.WriteLine($"fleet: {ForeignText.Clean(e.Message, 1000)}");
            return ExitCode.Harness;
        }
    }

    internal static string Number(double value, string format = "N0") =>
        value.ToString(format, CultureInfo.InvariantCulture);

    private static int Explore(
        Terminal terminal, string scenarioId, string profileName, ExploreOptions options, bool isTwice,
        bool isJson)
    {
        var (scenario, profile) = Explorer.Find(scenarioId, profileName);
        var clock = Stopwatch.StartNew();
        var report = isTwice
            ? Repetition.Run(scenario, profile, options)
            : Explorer.Run(scenario, profile, options);
        var seconds = clock.Elapsed.TotalSeconds;
        var shrunk = report.First
            .OrderBy(found => found.Key)
            .Select(found => Shrinker.Shrink(scenario, profile, found.Key, found.Value))
            .OfType<ShrunkSchedule>()
            .ToList();
        if (isJson)
        {
            terminal.WriteJson(new
            {
                scenario = report.Scenario,
                title = scenario.Title,
                profile = report.Profile,
                strategy = report.Strategy,
                worst = report.Worst,
                rules = report.Broken.Rules.Select(KernelRules.WireName),
                exhausted = report.IsExhausted,
                schedules = report.Schedules,
                histories = report.Histories,
                bad = report.Bad,
                badShare = report.BadShare,
                blocked = report.Blocked,
                points = report.Points,
                depthMax = report.DepthMax,
                seconds,
                findings = shrunk.Select(one => new
                {
                    rule = KernelRules.WireName(one.Rule),
                    foundAfter = report.First[one.Rule].Number,
                    switches = one.Switches,
                    steps = one.Steps,
                    isLeast = one.IsLeast,
                    isOneMinimal = one.IsOneMinimal,
                    token = one.Token.ToString(),
                }),
            });
        }
        else
        {
            Print(terminal, scenario.Title, report, seconds, shrunk);
        }

        return !report.Broken.IsEmpty ? ExitCode.Invalid
            : report.IsExhausted ? ExitCode.Valid
            : ExitCode.Unknown;
    }

    /// <summary>Explores with each single failure; a world that is clean without one may not be with it.</summary>
    private static int Sweep(
        Terminal terminal, string scenarioId, string profileName, ExploreOptions options, bool isJson)
    {
        var (scenario, profile) = Explorer.Find(scenarioId, profileName);
        var swept = FailureSweep.Run(scenario, profile, options);
        if (isJson)
        {
            terminal.WriteJson(new
            {
                scenario = scenario.Name,
                profile = profile.Name,
                failures = swept.Select(one => new
                {
                    scenario = one.Scenario.Name,
                    step = FailPoints.WireName(one.Point),
                    hit = one.Hit,
                    worst = one.Report?.Worst ?? one.Broken.Worst,
                    rules = one.Broken.Rules.Select(KernelRules.WireName),
                    exhausted = one.Report?.IsExhausted,
                    schedules = one.Report?.Schedules,
                }),
            });
        }
        else
        {
            var table = new Table { Border = TableBorder.Simple };
            table.AddColumns("world", "worst", "broken", "schedules");
            foreach (var one in swept)
            {
                table.AddRow(
                    Terminal.Safe(one.Scenario.Name),
                    (one.Report?.Worst ?? one.Broken.Worst).ToString().ToLowerInvariant(),
                    one.Broken.ToString(),
                    one.Report is { } report
                        ? $"{Number(report.Schedules)} {(report.IsExhausted ? "(all)" : "(bounded)")}"
                        : "none: the set-up waits for ever");
            }

            terminal.Screen.Write(table);
            terminal.Say(
                $"{swept.Count} failures, {swept.Count(one => !one.Broken.IsEmpty)} of them break a rule.");
        }

        return swept.Any(one => !one.Broken.IsEmpty) ? ExitCode.Invalid
            : swept.All(one => one.Report is { IsExhausted: true }) ? ExitCode.Valid
            : ExitCode.Unknown;
    }

    /// <summary>Writes the digests of both explorations, one a line.</summary>
    private static string Keep(UnrepeatableException differing)
    {
        var directory = Directory.CreateDirectory("fleet-results").FullName;
        foreach (var (name, report) in ((string, ExploreReport)[])[("1", differing.First), ("2", differing.Second)])
        {
            File.WriteAllLines(
                Path.Combine(directory, $"twice-{report.Scenario}-{report.Profile}-{name}.txt"),
                report.HistoryDigests!.Select((digest, i) => $"{i + 1} {digest:x16}"));
        }

        return directory;
    }

    private static void Print(
        Terminal terminal, string title, ExploreReport report, double seconds, List<ShrunkSchedule> shrunk)
    {
        terminal.Say($"{report.Scenario} under {report.Profile}: {title}");
        var rules = report.Broken.IsEmpty ? "no rule broken" : report.Broken.ToString();
        terminal.Say($"{report.Worst.ToString().ToLowerInvariant()}: {rules}");
        terminal.Say(
            $"{(report.IsExhausted ? "exhausted" : "bounded")}: {Number(report.Schedules)} schedules, "
            + $"{Number(report.Histories)} histories ({Number(100 * report.BadShare, "0.##")} % bad, "
            + $"{Number(report.Blocked)} blocked), {Number(report.Points)} points in {Number(seconds, "0.00")} s");
        if (shrunk.Count == 0)
        {
            return;
        }

        var table = new Table { Border = TableBorder.Simple };
        table.AddColumns("rule", "found after", "switches", "steps", "least", "fleet replay");
        foreach (var one in shrunk)
        {
            table.AddRow(
                KernelRules.WireName(one.Rule),
                Number(report.First[one.Rule].Number),
                Number(one.Switches),
                Number(one.Steps),
                one.IsLeast ? "yes" : one.IsOneMinimal ? "1-minimal" : "no",
                Terminal.Safe(one.Token.ToString()));
        }

        terminal.Screen.Write(table);
    }
}
