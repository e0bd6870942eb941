using System.CommandLine;
using System.Globalization;
using Fleet.Client.Runs;
using Fleet.Storage.Cluster;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;

namespace Fleet.Client.Commands;

/// <summary><c>fleet resume</c>: goes on with a run that was cut off.</summary>
internal static class ResumeCommand
{
    public static Command Create(Terminal terminal)
    {
        var run = new Argument<string>("RUN") { Description = "Name of a run that was cut off, or its beginning." };
        var finish = new Option<bool>("--finish")
        {
            Description = "Sends nothing more: stores what was recorded, judges it and seals it.",
        };
        var store = new StoreOptions();
        var command = new Command(
            "resume", "Goes on with a run that was cut off, or with the share of a generator that was lost.")
        {
            run, finish,
        };
        store.AddTo(command);
        command.SetAction(async (parsed, ct) =>
        {
            var address = RunStore.AddressOf(parsed.GetValue(store.Store), parsed.GetValue(store.Results));
            var asJson = parsed.GetValue(store.Json);
            RunRequest? request;
            bool goesOn;
            string name;
            await using (var opened = await ResultStores.OpenAsync(address, ct))
            {
                name = await RunStore.NameOfAsync(parsed.GetRequiredValue(run), opened, ct);
                await using (var writer = await opened.ResumeRunAsync(name, ct))
                {
                    goesOn = await GoesOnAsync(writer, address, ct);
                    request = goesOn || parsed.GetValue(finish) ? null : RequestOf(writer, address, name);
                    if (!goesOn)
                    {
                        await RunRecovery.DemandGoneAsync(
                            writer, name, request is { IsEmbedded: false }, new PartProgress(terminal), ct);
                    }
                }

                if (!goesOn && request is null)
                    return await FinishAsync(terminal, opened, address, name, asJson, ct);
            }

            return request is null
                ? await RunCommand.JoinAsync(terminal, name, address, asJson, ct)
                : await RunCommand.RunAsync(terminal, request, asJson, ct);
        });
        return command;
    }

    /// <summary>Whether the fleet of a run lives and its first generator with it: only a share is to be gone on
    /// with.</summary>
    private static async Task<bool> GoesOnAsync(IRunWriter writer, StoreAddress address, CancellationToken ct)
    {
        if (!address.IsPostgres)
            return false;

        var first = (await writer.Reader.ProcessesAsync(ct)).LastOrDefault(
            process => CutOffRun.IsOfFirst(process, isEmbedded: false));
        if (first?.Host == Environment.MachineName && !RunRecovery.IsAlive(first.Pid))
            return false;

        await using var cluster = await PostgresCluster.OpenAsync(address, JoinedRun.ClusterOf(writer.Info), ct);
        return await cluster.RunAsync(ct) is { IsFresh: true } served && served.Run == writer.Info.Run
            && (await JoinedRun.LeftHereAsync(writer.Info.Run, writer, ct)).Count > 0;
    }

    /// <returns>Null where nothing can go on: another boot's clock, a spool that is not here, or a run that does not
    /// say how it was begun.</returns>
    private static RunRequest? RequestOf(IRunWriter writer, StoreAddress address, string name)
    {
        var plan = CutOffRun.PlanOf(writer.Info);
        if (plan is null || writer.Info.Clock != SpoolOptions.MonotonicClock()
            || RunRecovery.SpoolsOf(address, name).Count == 0)
            return null;

        var request = RunRequest.Create(
            plan.Scenario, plan.Options, address, plan.KeepGoing, writer.Info.CommandLine, writer.Info.StartedAt);
        return request with { Name = name, IsResumed = true };
    }

    private static async Task<int> FinishAsync(
        Terminal terminal, IResultStore store, StoreAddress address, string name, bool asJson, CancellationToken ct)
    {
        var recovered = await RunRecovery.ResumeAsync(store, address, name, new PartProgress(terminal), ct);
        if (asJson)
            terminal.WriteJson(recovered);
        else
            Show(terminal, recovered);
        return recovered.ExitCode;
    }

    private static void Show(Terminal terminal, RecoveredRun run)
    {
        terminal.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"{run.Run}: {run.OperationsFound:N0} operations and {run.Events:N0} events are stored, "
            + $"{run.OperationsUnknown:N0} that were sent have an unknown outcome, "
            + $"{run.Findings:N0} finding(s)."));
        foreach (var reason in run.Reasons)
            terminal.Say(ForeignText.Clean(reason, 2000));
        terminal.Say($"{run.Verdict.ToString().ToLowerInvariant()} (exit {run.ExitCode})");
        terminal.Say($"Results: {run.Location}");
    }
}
