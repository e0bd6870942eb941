using System.CommandLine;
using Fleet.Client.Runs;
using Fleet.Client.Scenarios;
using Fleet.Client.Simulate;
using Fleet.Kernel.History;
using Fleet.Storage.Results;
using Spectre.Console;
using static System.FormattableString;

namespace Fleet.Client.Commands;

/// <summary>One scenario under one of the profiles that it has an expectation for.</summary>
/// <param name="Found">The verdict, as <c>expect:</c> writes it.</param>
/// <param name="Rules">Rules that were violated, by name.</param>
/// <param name="Reason">Why it is not what was declared; null where it is.</param>
internal sealed record VerifiedRun(
    string Scenario, string Profile, string Expected, string Found, int ExitCode, bool AsDeclared,
    IReadOnlyList<string> Rules, double Seconds, string? Run, string? Reason);

/// <summary><c>fleet scenario verify</c>: runs scenarios under every profile that their <c>expect:</c> lists.</summary>
internal static class VerifyCommand
{
    /// <summary>What is verified where nothing is named lasts no longer than this.</summary>
    private static readonly TimeSpan ShortMax = TimeSpan.FromMinutes(1);

    public static Command Create(Terminal terminal)
    {
        var names = new Argument<string[]>("NAME")
        {
            Description = "Names or files of scenarios (default: those shipped that last a minute at most and need no "
                + "silos of their own).",
            Arity = ArgumentArity.ZeroOrMore,
        };
        var simulate = new Option<bool>("--simulate")
        {
            Description = "On a virtual cluster and a virtual clock; what the simulation does not model is left out.",
        };
        var silos = CommonOptions.Whole(
            "--silos", 1, 64, "Silos in processes of their own, joined by the store (default: one in this process).");
        var set = ScenarioCommand.Set();
        var store = new StoreOptions();
        var command = new Command(
            "verify", "Runs scenarios under every profile that their expect lists, and compares the verdicts.")
        {
            names, simulate, silos, set,
        };
        store.AddTo(command);
        command.SetAction(async (parsed, ct) =>
        {
            using var interruption = new Interruption(ct, () => terminal.SayProgress(
                "fleet: interrupted; ending the run that is under way (interrupt again to stop at once)."));
            var overrides = ScenarioCommand.Overrides(parsed.GetValue(set));
            var address = RunStore.AddressOf(parsed.GetValue(store.Store), parsed.GetValue(store.Results));
            var options = new RunOptions
            {
                Overrides = overrides,
                IsSimulated = parsed.GetValue(simulate),
                Silos = parsed.GetValue(simulate) ? 0 : parsed.GetValue(silos) ?? 0,
            };
            var named = parsed.GetValue(names) is { Length: > 0 } some ? some : [.. Defaults(options)];
            var requests = Requests(named, options, address);
            var results = new List<VerifiedRun>();
            foreach (var request in requests.TakeWhile(_ => !interruption.IsRequested))
            {
                terminal.SayProgress(Invariant(
                    $"fleet: {results.Count + 1} of {requests.Count}, {request.Scenario.Name} {request.Profile.Name}"));
                try
                {
                    results.Add(await RunAsync(request, parsed.GetValue(silos), interruption.Token));
                }
                catch (OperationCanceledException) when (interruption.IsRequested)
                {
                    RunCommand.BeforeTheLoad(terminal);
                }
            }

            if (parsed.GetValue(store.Json))
                terminal.WriteJson(new { runs = results, asDeclared = results.TrueForAll(one => one.AsDeclared) });
            else
                Show(terminal, results);
            return interruption.IsRequested ? ExitCode.Interrupted
                : results.Exists(one => one.ExitCode == ExitCode.Harness) ? ExitCode.Harness
                : results.TrueForAll(one => one.AsDeclared) ? ExitCode.Valid
                : ExitCode.Invalid;
        });
        return command;
    }

    private static IEnumerable<string> Defaults(RunOptions options) =>
        from name in ScenarioFile.Shipped
        where !ScenarioFile.IsFaultPlan(name)
        let scenario = ScenarioFile.ReadScenario(name, [])
        where !scenario.Expect.IsEmpty && scenario.Duration <= ShortMax && Runs(scenario, options)
        select name;

    private static bool Runs(Scenario scenario, RunOptions options)
    {
        try
        {
            if (options.IsSimulated)
                SimulationRequest.Demand(scenario);
            else
                RunSupport.Demand(scenario);
            return true;
        }
        catch (UsageException)
        {
            return false;
        }
    }

    /// <summary>Everything that is asked for, checked before anything runs.</summary>
    private static List<RunRequest> Requests(IReadOnlyList<string> names, RunOptions options, StoreAddress store)
    {
        var requests = new List<RunRequest>();
        foreach (var name in names)
        {
            var scenario = ScenarioFile.ReadScenario(name, options.Overrides);
            if (scenario.Expect.IsEmpty)
                throw new UsageException(
                    $"{ForeignText.Clean(name)} expects nothing of any profile; accepted: a scenario with "
                    + "expect: { ALL: valid }.");

            requests.AddRange(scenario.Expect.Keys.Order(StringComparer.Ordinal).Select(profile => RunRequest.Create(
                name, options with { Profile = profile }, store, keepGoing: false,
                $"fleet run {name} --profile {profile}", DateTimeOffset.UtcNow)));
        }

        return requests;
    }

    private static async Task<VerifiedRun> RunAsync(RunRequest request, int? silos, CancellationToken ct)
    {
        var (scenario, profile) = (request.Scenario.Name, request.Profile.Name);
        if (request.Shared!.Options.IsSimulated)
        {
            var simulated = new SimulatedRun(
                request, silos ?? SimulatedRun.SilosDefault, Twice: false, HistoryPath: null, RunStore.DefaultDirectory)
                .Run();
            return new(
                scenario, profile, simulated.Expected!, Word(simulated.Verdict), simulated.ExitCode,
                simulated.AsExpected is true && simulated.ExitCode is not ExitCode.Harness,
                [.. simulated.Findings.Select(one => one.Rule).Distinct()], simulated.RealSeconds, null,
                simulated.AsExpected is true ? null : simulated.Reasons.FirstOrDefault());
        }

        var run = await new FleetRun(request, new SilentProgress()).RunAsync(ct);
        var asDeclared = run.AsExpected is true && run.ExitCode is not (ExitCode.Harness or ExitCode.Infrastructure);
        return new(
            scenario, profile, run.Expected!, Word(run.Verdict), run.ExitCode, asDeclared,
            [.. run.Findings.Select(one => one.Rule).Distinct()], run.Seconds["total"], run.Run,
            asDeclared ? null : run.Reasons.FirstOrDefault());
    }

    private static string Word(RunVerdict verdict) => verdict.ToString().ToLowerInvariant();

    private static void Show(Terminal terminal, List<VerifiedRun> results)
    {
        var table = new Table { Border = TableBorder.Simple };
        table.AddColumns("", "scenario", "profile", "declared", "found", "exit", "seconds", "rules violated");
        foreach (var one in results)
        {
            table.AddRow(
                one.AsDeclared ? "[green]✓[/]" : "[red]✗[/]", Terminal.Safe(one.Scenario), Terminal.Safe(one.Profile),
                one.Expected, one.Found, Invariant($"{one.ExitCode}"), Invariant($"{one.Seconds:0}"),
                Terminal.Safe(string.Join(", ", one.Rules)));
        }

        terminal.Screen.Write(table);
        foreach (var one in results.Where(one => !one.AsDeclared))
            terminal.Say(ForeignText.Clean($"{one.Scenario} {one.Profile}: {one.Reason}", 2000));
        terminal.Say(Invariant(
            $"{results.Count(one => one.AsDeclared)} of {results.Count} runs came to the verdict that is declared."));
    }
}
