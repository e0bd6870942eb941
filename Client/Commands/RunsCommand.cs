using System.CommandLine;
using System.Globalization;
using Fleet.Client.Runs;
using Fleet.Storage.Results;
using Spectre.Console;

namespace Fleet.Client.Commands;

/// <summary><c>fleet runs</c>: lists stored runs, and removes old ones.</summary>
internal static class RunsCommand
{
    public static Command Create(Terminal terminal)
    {
        var store = new StoreOptions();
        var command = new Command("runs", "Lists stored runs, the newest first.") { Prune(terminal) };
        store.AddTo(command);
        command.SetAction(async (parsed, ct) =>
        {
            await using var opened = await ResultStores.OpenAsync(
                RunStore.AddressOf(parsed.GetValue(store.Store), parsed.GetValue(store.Results)), ct);
            var runs = await opened.ListRunsAsync(ct);
            if (parsed.GetValue(store.Json))
            {
                terminal.WriteJson(new { store = opened.Address, runs = runs.Select(ToJson) });
                return ExitCode.Valid;
            }

            if (runs.Count == 0)
            {
                terminal.Say($"There is no run in {opened.Address} yet; fleet run makes one.");
                return ExitCode.Valid;
            }

            terminal.Screen.Write(TableOf(runs));
            if (runs.Any(run => run.State is not RunState.Sealed))
                terminal.Say("What is not finished still runs, or was cut off: fleet resume RUN goes on with it.");
            return ExitCode.Valid;
        });
        return command;
    }

    private static Command Prune(Terminal terminal)
    {
        var store = new StoreOptions();
        var keep = CommonOptions.Whole("--keep", 0, int.MaxValue, "Keeps the newest N finished runs.");
        keep.Required = true;
        var command = new Command("prune", "Removes finished runs, the oldest first.") { keep };
        store.AddTo(command);
        command.SetAction(async (parsed, ct) =>
        {
            await using var opened = await ResultStores.OpenAsync(
                RunStore.AddressOf(parsed.GetValue(store.Store), parsed.GetValue(store.Results)), ct);
            var runs = await opened.ListRunsAsync(ct);
            var removed = runs.Where(run => run.State is RunState.Sealed)
                .Skip(parsed.GetValue(keep) ?? 0)
                .Select(run => run.Info.Run)
                .ToList();
            foreach (var run in removed)
                await opened.DropRunAsync(run, ct);
            if (parsed.GetValue(store.Json))
                terminal.WriteJson(new { store = opened.Address, removed });
            else
                terminal.Say($"{removed.Count} run(s) removed from {opened.Address}.");
            return ExitCode.Valid;
        });
        return command;
    }

    private static Table TableOf(IReadOnlyList<StoredRun> runs)
    {
        var table = new Table { Border = TableBorder.Simple };
        table.AddColumns(
            "run", "started (UTC)", "scenario", "profile", "verdict", "exit", "operations", "events", "findings");
        foreach (var run in runs)
        {
            table.AddRow(
                Terminal.Safe(run.Info.Run),
                run.Info.StartedAt.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture),
                Terminal.Safe(run.Info.Scenario),
                Terminal.Safe(run.Info.Profile),
                run.Outcome is { } outcome ? outcome.Verdict.ToString().ToLowerInvariant() : "not finished",
                run.Outcome?.ExitCode.ToString(CultureInfo.InvariantCulture) ?? "-",
                CountOf(run, run.Operations),
                CountOf(run, run.Events),
                CountOf(run, run.Findings));
        }

        return table;
    }

    /// <summary>A run is counted when it is sealed; before that nothing is known, and nothing is not zero.</summary>
    private static long? CountIn(StoredRun run, long count) => run.State is RunState.Sealed ? count : null;

    private static string CountOf(StoredRun run, long count) =>
        CountIn(run, count)?.ToString("N0", CultureInfo.InvariantCulture) ?? "-";

    public static object ToJson(StoredRun run) => new
    {
        run = run.Info.Run,
        scenario = run.Info.Scenario,
        profile = run.Info.Profile,
        seed = run.Info.Seed,
        source = run.Info.Source,
        startedAt = run.Info.StartedAt,
        endedAt = run.Outcome?.EndedAt,
        state = run.State,
        verdict = run.Outcome?.Verdict,
        exitCode = run.Outcome?.ExitCode,
        complete = run.Outcome?.Complete,
        quiescent = run.Outcome?.Quiescent,
        operations = CountIn(run, run.Operations),
        events = CountIn(run, run.Events),
        findings = CountIn(run, run.Findings),
        location = run.Location,
    };
}
