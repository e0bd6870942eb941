using System.CommandLine;
using System.Globalization;
using Fleet.Client.Runs;
using Fleet.Storage.Results;

namespace Fleet.Client.Commands;

/// <summary><c>fleet resume</c>: finishes a run that was cut off.</summary>
internal static class ResumeCommand
{
    public static Command Create(Terminal terminal)
    {
        var run = new Argument<string>("RUN") { Description = "Name of a run that was cut off, or its beginning." };
        var store = new StoreOptions();
        var command = new Command(
            "resume", "Stores what a run that was cut off had recorded, judges it and seals it.") { run };
        store.AddTo(command);
        command.SetAction(async (parsed, ct) =>
        {
            var address = RunStore.AddressOf(parsed.GetValue(store.Store), parsed.GetValue(store.Results));
            await using var opened = await ResultStores.OpenAsync(address, ct);
            var name = await RunStore.NameOfAsync(parsed.GetRequiredValue(run), opened, ct);
            var recovered = await RunRecovery.ResumeAsync(opened, address, name, new PartProgress(terminal), ct);
            if (parsed.GetValue(store.Json))
                terminal.WriteJson(recovered);
            else
                Show(terminal, recovered);
            return recovered.ExitCode;
        });
        return command;
    }

    private static void Show(Terminal terminal, RecoveredRun run)
    {
        terminal.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"{run.Run}: {run.OperationsFound:N0} operations and {run.Events:N0} events are stored, "
            + $"{run.OperationsUnknown:N0} reserved operations have an unknown outcome, "
            + $"{run.Findings:N0} finding(s)."));
        foreach (var reason in run.Reasons)
            terminal.Say(ForeignText.Clean(reason, 2000));
        terminal.Say($"{run.Verdict.ToString().ToLowerInvariant()} (exit {run.ExitCode})");
        terminal.Say($"Results: {run.Location}");
    }
}
