using System.CommandLine;
using System.Globalization;
using Fleet.Client.Runs;
using Fleet.Grains;
using Fleet.Silo.Cluster;
using Fleet.Storage;
using Fleet.Storage.Cluster;
using Fleet.Storage.Results;

namespace Fleet.Client.Commands;

/// <summary><c>fleet ctl</c>: looks at a run of several processes, and steers it.</summary>
internal static class CtlCommand
{
    private const string StatusVerb = "status";
    private const double SpeedMin = 0.01;
    private const double SpeedMax = 100;

    private static readonly TimeSpan ConnectPatience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan AnswerPatience = TimeSpan.FromSeconds(15);

    public static Command Create(Terminal terminal)
    {
        var clients = CommonOptions.Whole("--clients", 1, 100_000, "Clients that send, over all generators.");
        var speed = new Option<double?>("--speed")
        {
            Description = "Of an open load: how fast its schedule goes, 1 for as it is; phases last accordingly.",
        };
        speed.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<double?>() is not (null or (>= SpeedMin and <= SpeedMax)))
                result.AddError($"--speed is out of range; accepted: {SpeedMin} to {SpeedMax}.");
        });
        var scale = Order(terminal, "scale", "Changes how much load is made.", (run, parsed) =>
            (parsed.GetValue(clients), parsed.GetValue(speed)) is var (count, factor)
                && (count is not null || factor is not null)
                ? run.Order(null, null, count, factor)
                : throw new UsageException(
                    "fleet ctl scale needs a number; accepted: --clients N for a closed load, --speed FACTOR for an "
                    + "open one."));
        scale.Add(clients);
        scale.Add(speed);
        return new("ctl", "Looks at a run of several processes, and steers it.")
        {
            Order(terminal, StatusVerb, "Shows the generators of a run.", (run, _) => run.Status()),
            Order(terminal, "pause", "Stops sending; the schedule stands still.",
                (run, _) => run.Order(true, null, null, null)),
            Order(terminal, "resume", "Sends again.", (run, _) => run.Order(false, null, null, null)),
            scale,
            Order(terminal, "stop", "Ends the load; what was recorded is stored and judged.",
                (run, _) => run.Order(null, true, null, null)),
        };
    }

    private static Command Order(
        Terminal terminal, string verb, string description, Func<IRunGrain, ParseResult, ValueTask<RunStatus>> order)
    {
        var name = new Argument<string>("RUN") { Description = "Name of a run that goes on, or its beginning." };
        var store = new StoreOptions();
        var command = new Command(verb, description) { name };
        store.AddTo(command);
        command.SetAction(async (parsed, ct) =>
        {
            var address = RunStore.AddressOf(parsed.GetValue(store.Store), parsed.GetValue(store.Results));
            if (!address.IsPostgres)
                throw new UsageException(
                    "A run in one process is steered at its terminal; accepted: --store of a run with --silos or "
                    + "--cluster.");

            await using var opened = await ResultStores.OpenAsync(address, ct);
            var run = await RunStore.NameOfAsync(parsed.GetRequiredValue(name), opened, ct);
            var stored = (await opened.ListRunsAsync(ct)).First(one => one.Info.Run == run);
            if (stored.Outcome is { } outcome)
            {
                if (verb != StatusVerb)
                    throw new UsageException(
                        $"The run {run} is over, its verdict is {Word(outcome)}; accepted: a run that goes on.");
                ShowOver(terminal, run, outcome, parsed.GetValue(store.Json));
                return ExitCode.Valid;
            }

            var clusterName = JoinedRun.ClusterOf(stored.Info);
            await using var cluster = await PostgresCluster.OpenAsync(address, clusterName, ct);
            await DemandServedAsync(cluster, run, ct);
            await using var fleet = await ClusterFleet.ConnectAsync(
                cluster, clusterName, 1, ConnectPatience, ClusterSettings.Of(stored.Info.Settings).Gateways,
                static () => { }, ct);
            var status = await AskAsync(order(fleet.Grains.GetGrain<IRunGrain>(run), parsed), run);
            if (parsed.GetValue(store.Json))
                terminal.WriteJson(new { run, status });
            else
                Show(terminal, run, status);
            return ExitCode.Valid;
        });
        return command;
    }

    /// <exception cref="UsageException">No cluster serves the run: nobody would obey.</exception>
    private static async Task DemandServedAsync(PostgresCluster cluster, string run, CancellationToken ct)
    {
        var served = await cluster.RunAsync(ct);
        if (served.IsKnown && (served.Run != run || !served.IsFresh))
            throw new UsageException(
                $"No silos serve the run {run}: it was cut off, and fleet resume {run} goes on with it, or it is in "
                + "one process and is steered at its terminal; accepted: a run that goes on, of silos.");
    }

    private static string Word(RunOutcome outcome) => outcome.Verdict.ToString().ToLowerInvariant();

    private static void ShowOver(Terminal terminal, string run, RunOutcome outcome, bool asJson)
    {
        if (asJson)
            terminal.WriteJson(new { run, state = "sealed", verdict = Word(outcome), exitCode = outcome.ExitCode });
        else
            terminal.Say(
                $"{run}: over and sealed, {Word(outcome)} (exit {outcome.ExitCode}); fleet show {run} has the rest.");
    }

    /// <exception cref="StorageException">The silo that keeps the run does not answer.</exception>
    private static async Task<RunStatus> AskAsync(ValueTask<RunStatus> asked, string run)
    {
        try
        {
            return await asked.AsTask().WaitAsync(AnswerPatience);
        }
        catch (Exception e) when (LostCall.Is(e))
        {
            throw new StorageException(
                $"The silo that keeps the run {run} does not answer: it died or stands still; accepted: the same "
                + "command once another one has taken the run over, which takes seconds.", e);
        }
    }

    private static void Show(Terminal terminal, string run, RunStatus status)
    {
        terminal.Say($"{run}: {status.State}, {status.Generators.Length} of {status.Seats} generators"
            + (status.ClientsMax > 0 ? $", at most {status.ClientsMax} clients" : "")
            + (status.Speed is > 0 and not 1
                ? string.Create(CultureInfo.InvariantCulture, $", its schedule at {status.Speed:0.##} of its speed")
                : ""));
        foreach (var one in status.Generators)
        {
            terminal.Say(string.Create(
                CultureInfo.InvariantCulture,
                $"  {RunNames.GeneratorOf(one.Number)} {one.State,-8} {one.Phase,-8} {one.Operations,12:N0} operations "
                + $"{one.PerSecond,9:N0}/s  heard {one.SilentSeconds:0.0} s ago  {ForeignText.Clean(one.Process)}"));
        }
    }
}
