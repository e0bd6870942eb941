using Fleet.Checking;
using Fleet.Checking.Explanation;
using Fleet.Checking.History;
using Fleet.Kernel.History;
using Fleet.Storage;
using Fleet.Storage.Checks;
using Fleet.Storage.Query;
using Fleet.Storage.Results;

namespace Fleet.Client.Runs;

/// <summary>What both checkers say of one stored run.</summary>
/// <param name="Sql">Counts of the rules that plain SQL states too.</param>
/// <param name="Disagreements">One sentence for each rule on which the two differ: a defect of Fleet.</param>
public sealed record StoredVerdict(
    CheckReport Report, IReadOnlyList<SqlRuleResult> Sql, IReadOnlyList<string> Disagreements)
{
    public int ExitCode => Disagreements.Count > 0 ? Client.ExitCode.Harness : Report.ExitCode;
}

/// <summary>Judges what a store holds of a run, twice and at the same time: by the rules, and by SQL that shares no
/// code with them.</summary>
public static class StoredCheck
{
    /// <summary>Ten times what a run of a million operations needs; beyond it the check says so instead of
    /// hanging.</summary>
    private static readonly SqlLimits SqlLimits = new(TimeSpan.FromMinutes(10), 10);

    private static readonly TimeSpan StoreLook = TimeSpan.FromSeconds(1);

    /// <param name="profile">Judged as this kernel; null takes the run's own.</param>
    /// <param name="isComplete">No record was lost.</param>
    /// <param name="isQuiescent">Every client was drained, every session closed; only waits remained.</param>
    public static async Task<StoredVerdict> CheckAsync(
        IRunReader reader,
        string? profile,
        bool isComplete,
        bool isQuiescent,
        IReadOnlyList<string> probesRequired,
        CancellationToken ct)
    {
        var header = HeaderOf(reader, profile, isComplete, isQuiescent);
        var checker = new HistoryChecker(header, reader.Objects, probesRequired);
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(ct);
        var asked = Task.Run(
            () => SqlChecks.RunAsync(reader, isComplete: true, isQuiescent, SqlLimits, ending.Token),
            CancellationToken.None);
        var report = await JudgeAsync();
        IReadOnlyList<SqlRuleResult> sql;
        try
        {
            sql = await asked;
        }
        catch (StorageException e) when (e is not StoreLostException)
        {
            // A history too long for the second checker is still judged by the first; the reader is told.
            return new(
                report with { Reasons = [.. report.Reasons, $"The SQL checks did not end: {e.Message}"] }, [], []);
        }

        if (!report.Complete)
            sql = [.. sql.Select(result => result.OfIncomplete)];
        var counts = report.Rules
            .Select(rule => new RuleEvidence("stored", rule.Rule, rule.Ok, rule.Violated, rule.Undecided)).ToList();
        return new(report, sql, SqlChecks.Disagreements(sql, counts));

        // Beside the SQL: the rules are this process's work, the SQL mostly a server's.
        async Task<CheckReport> JudgeAsync()
        {
            try
            {
                var sink = new Sink(checker);
                await reader.StreamUnplacedAsync(sink, ct);
                await reader.StreamAsync(sink, ct);
                return checker.Finish();
            }
            catch
            {
                await ending.CancelAsync();
                await ((Task)asked).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                throw;
            }
        }
    }

    /// <summary>Checks a run that is not sealed: a store that goes away is waited for, and the check begins
    /// again.</summary>
    public static async Task<StoredVerdict> CheckPatientlyAsync(
        IRunWriter writer, Func<IRunReader, Task<StoredVerdict>> check, IRunProgress progress, CancellationToken ct)
    {
        while (true)
        {
            try
            {
                return await check(writer.Reader);
            }
            catch (StoreLostException e)
            {
                progress.Say($"{e.Message}; the check begins again once it answers.");
                await Task.Delay(StoreLook, ct);
            }
        }
    }

    /// <summary>Judges a run once more for one of its findings, and keeps the records that explain it.</summary>
    /// <returns>The finding as the whole history gives it, with the clients' times; the stored one where only the
    /// online checker saw it.</returns>
    public static async Task<(HistoryHeader Header, Finding Finding, ExplainedRecords Records)> RecordsOfAsync(
        IRunReader reader, Finding stored, CancellationToken ct)
    {
        var outcome = reader.Run.Outcome;
        var header = HeaderOf(reader, profile: null, outcome?.Complete ?? false, outcome?.Quiescent ?? false);
        var checker = new HistoryChecker(header, reader.Objects, []);
        var sink = new Sink(checker);
        await reader.StreamUnplacedAsync(sink, ct);
        await reader.StreamAsync(sink, ct);
        var finding = checker.Finish().Findings.FirstOrDefault(f => f.Signature == stored.Signature) ?? stored;
        var records = new ExplainedRecords(finding, reader.Objects);
        var keeper = new Keeper(records);
        await reader.StreamUnplacedAsync(keeper, ct);
        await reader.StreamAsync(keeper, ct);
        return (header, finding, records);
    }

    internal static HistoryHeader HeaderOf(IRunReader reader, string? profile, bool isComplete, bool isQuiescent)
    {
        var info = reader.Run.Info;
        return new()
        {
            Run = info.Run,
            Source = info.Source,
            Profile = profile ?? info.Profile,
            Order = info.Order == "total" ? HistoryOrder.Total : HistoryOrder.PerObject,
            SortedByObject = true,
            Clock = info.Clock,
            ClockBoundNs = info.ClockBoundNs,
            Complete = isComplete,
            Quiescent = isQuiescent,
        };
    }

    private sealed class Keeper(ExplainedRecords records) : IHistorySink
    {
        public void Observe(HistoryEvent record) => records.Add(record);

        public void Observe(in Operation record) => records.Add(record);
    }

    private sealed class Sink(HistoryChecker checker) : IHistorySink
    {
        public void Observe(HistoryEvent record) => checker.Add(record);

        public void Observe(in Operation record) => checker.Add(record);
    }
}
