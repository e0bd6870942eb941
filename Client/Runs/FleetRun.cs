using System.Diagnostics;
using System.Text.Json;
using Fleet.Client.Load;
using Fleet.Grains;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Silo.Cluster;
using Fleet.Storage;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;

namespace Fleet.Client.Runs;

/// <summary>One run from its start to its sealed result: builds a fleet in this process, hammers it, stores and
/// judges.</summary>
/// <remarks>
/// Order: store, spool, fleet, build, session, load, drain, close, store the rest, check, seal. Whatever ends the load
/// early, the rest is done all the same, so that what was recorded is stored and judged.
/// </remarks>
public sealed class FleetRun(RunRequest request, IRunProgress progress)
{
    private readonly ObjectTable _objects = RunNames.NewTable();
    private readonly Dictionary<string, double> _seconds = new(StringComparer.Ordinal);
    private readonly Stopwatch _total = new();
    private CutOffRun? _before;
    private LiveRun? _live;

    /// <param name="interrupt">
    /// Ends the load; the run is then drained, stored and judged, and says that it was interrupted.
    /// </param>
    /// <exception cref="Storage.StorageException">The store cannot be used; nothing is left behind.</exception>
    public async Task<RunSummary> RunAsync(CancellationToken interrupt)
    {
        var spoolDirectory = request.IsResumed
            ? RunRecovery.NextSpoolDirectoryOf(request.Store, request.Name)
            : RunRecovery.SpoolDirectoryOf(request.Store, request.Name);
        try
        {
            return await RunAsync(spoolDirectory, interrupt);
        }
        catch (Exception e) when (!request.IsEmbedded && LostCall.Is(e, interrupt))
        {
            throw CutOff(
                "No silo of it answers any more"
                + (_live?.Gone is { Count: > 0 } gone ? $" ({string.Join(", ", gone)} ended)." : "."),
                e);
        }
        catch (Exception e) when (HasLoad && e is StorageException or OutcomeUnknownException)
        {
            throw CutOff(e.Message, e);
        }
        catch (Exception e) when (
            !request.IsResumed && !HasLoad && e is OperationCanceledException or StorageException or UsageException)
        {
            // Nothing half written stays behind; after a defect of Fleet the spool stays, as the evidence of it.
            if (Directory.Exists(spoolDirectory))
                Directory.Delete(spoolDirectory, recursive: true);
            throw;
        }
    }

    private bool HasLoad => _live is { HasLoad: true };

    private CutOffException CutOff(string why, Exception cause) => new(
        $"The run {request.Name} is cut off: {why} What was recorded is kept: fleet resume {request.Name} goes on with "
        + "it, and with --finish judges what there is.", cause);

    private async Task<RunSummary> RunAsync(string spoolDirectory, CancellationToken interrupt)
    {
        _total.Start();
        await using var store = await ResultStores.OpenAsync(request.Store, interrupt);

        await using var writer = request.IsResumed
            ? await store.ResumeRunAsync(request.Name, interrupt)
            : await store.CreateRunAsync(RunEntry.InfoOf(request, SpoolOptions.MonotonicClock()), _objects, interrupt);
        var info = writer.Info;
        if (request.IsResumed)
        {
            progress.Begin("storing what the run had recorded when it was cut off");
            _before = await CutOffRun.ReadAsync(writer, request, interrupt);
        }

        var names = _before is { Seat: var seat }
            ? (Generator: RunNames.GeneratorOf(seat), Session: RunNames.SessionOf(seat))
            : (RunNames.Generator, RunNames.Session);
        var process = await RunEntry.EnterAsync(request, writer, _objects, names.Generator, interrupt);
        using var spool = SpoolWriter.Create(
            RunEntry.SpoolOptionsOf(request, spoolDirectory, process, names.Generator, info.Clock), _objects);
        await using var drain = SpoolDrain.Start(spool, writer);

        var fleet = new LoadFleet(request.Plan, _objects);
        _live = new(request, progress, _objects, names, _before, _seconds);
        var live = await _live.RunAsync(fleet, writer, spool, drain, interrupt);
        await using var generator = live.Generator;

        progress.Begin("storing what was recorded");
        var storing = Stopwatch.StartNew();
        var stored = await drain.CompleteAsync(CancellationToken.None);
        var counts = await CountAsync(writer, generator, stored, live);
        _seconds["store"] = storing.Elapsed.TotalSeconds;

        progress.Begin("checking what is stored");
        var checking = Stopwatch.StartNew();
        var isQuiescent = generator.IsDrained;
        var verdict = await StoredCheck.CheckPatientlyAsync(
            writer,
            reader => StoredCheck.CheckAsync(
                reader, request.Profile.Name, counts.AreEqual, isQuiescent, request.Scenario.RequiredProbes,
                CancellationToken.None),
            progress,
            CancellationToken.None);
        _seconds["check"] = checking.Elapsed.TotalSeconds;
        _seconds["total"] = _total.Elapsed.TotalSeconds;

        var report = verdict.Report;
        var summary = new RunConclusion(request, live, verdict, counts, _before?.Share.Load.Times ?? 0, _seconds)
            .Summarize(interrupt.IsCancellationRequested);
        await RunEvidence.StoreAsync(request.Scenario, writer, verdict, live);
        _before?.Forget();
        var location = await writer.SealAsync(
            new(summary.Verdict, summary.ExitCode)
            {
                Complete = counts.AreEqual && report.Complete,
                Quiescent = isQuiescent,
                EndedAt = DateTimeOffset.UtcNow,
                Summary = JsonSerializer.Serialize(summary, RunSummary.Json),
            },
            CancellationToken.None);
        return summary with { Location = location };
    }

    private async Task<RunCounts> CountAsync(
        IRunWriter writer, LoadGenerator generator, DrainReport stored, LiveResult live)
    {
        var (acknowledged, rows) = (stored.EventsAcknowledged, stored.EventsStored);
        foreach (var process in live.Committed)
        {
            var events = (await writer.CountAsync(process.Proc, CancellationToken.None)).Events;

            // What a silo that ended acknowledged after its last report is in the store, and nowhere else.
            acknowledged += process.IsGone ? Math.Max(process.Events, events) : process.Events;
            rows += events;
        }

        // A silo that ended before it was ever asked said nothing.
        var told = live.Committed.Select(process => process.Proc).ToHashSet();
        foreach (var process in request.IsEmbedded ? [] : await writer.Reader.ProcessesAsync(CancellationToken.None))
        {
            if (RunNames.NumberOf(process.Name) > 0 || told.Contains(process.Proc))
                continue;

            var events = (await writer.CountAsync(process.Proc, CancellationToken.None)).Events;
            (acknowledged, rows) = (acknowledged + events, rows + events);
        }

        // What earlier processes of the run left is counted in the store, and was compared with their spools.
        var (reports, recovered) = (
            live.Others.Reports, live.Others.OperationsRecovered + (_before?.Share.Operations ?? 0));
        acknowledged += _before?.Share.Events ?? 0;
        rows += _before?.Share.Events ?? 0;
        return new(
            generator.Counters.Operations + live.Others.OperationsRecovered,
            stored.OperationsAcknowledged + reports.Sum(one => one.Spooled) + recovered,
            stored.OperationsStored + reports.Sum(one => one.Stored) + recovered,
            acknowledged,
            rows);
    }
}
