using System.Globalization;
using Fleet.Kernel.History;
using Fleet.LoadTests.Measuring;
using Fleet.LoadTests.Storage;
using Fleet.Storage.Checks;
using Fleet.Storage.Query;
using Fleet.Storage.Results;

namespace Fleet.LoadTests.Scaling;

/// <summary>What one row of a history costs, in microseconds of processor time.</summary>
/// <param name="WriterCpu">Of this process, while rows are stored.</param>
/// <param name="StoreCpu">Of PostgreSQL, meanwhile.</param>
/// <param name="SealCpu">Of PostgreSQL: indexes and statistics.</param>
/// <param name="VerdictCpu">Of PostgreSQL: every rule in SQL.</param>
/// <param name="Bytes">Room with indexes.</param>
/// <param name="VerdictSeconds">Of all rows.</param>
internal sealed record HistoryCost(
    int Rows, double WriterCpu, double StoreCpu, double SealCpu, double VerdictCpu, double Bytes,
    double VerdictSeconds, long Violated)
{
    /// <summary>Of the database with the run in it.</summary>
    public long DiskBytes { get; init; }

    public double Cpu => WriterCpu + StoreCpu + SealCpu + VerdictCpu;

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Rows:N0} rows: CPU of one {Cpu:0.00} µs = writer {WriterCpu:0.00} + PostgreSQL storing {StoreCpu:0.00}, "
        + $"sealing {SealCpu:0.00}, SQL verdict {VerdictCpu:0.00}; {Bytes:N0} B; verdict after {VerdictSeconds:0.0} s, "
        + $"{Violated} violated");
}

/// <summary>Stores a synthetic run of some length, seals it and has the database judge it.</summary>
internal sealed class HistoryRun(MeasuredDatabase database)
{
    private const int RowsAtOnce = 120_000;
    private const int VerdictMinutesMax = 30;

    private readonly Psql _psql = new(database.Status, database.Folder);
    private int _runs;

    public async Task<HistoryCost> MeasureAsync(int rows, CancellationToken ct)
    {
        var name = string.Create(CultureInfo.InvariantCulture, $"rows-{++_runs}");
        await using var store = await ResultStores.OpenAsync(StoreAddress.Parse(database.Address), ct);
        var history = new SyntheticHistory();
        var looks = new List<Look> { LookAt() };
        await using (var writer = await store.CreateRunAsync(new RunInfo(name), history.Objects, ct))
        {
            await writer.AppendAsync(history.Begin(), ct);
            for (var left = rows; left > 0; left -= RowsAtOnce)
            {
                await writer.AppendAsync(history.Next(Math.Min(left, RowsAtOnce), 1), ct);
            }

            looks.Add(LookAt());
            await writer.SealAsync(
                new(RunVerdict.Valid, 0) { Complete = true, Quiescent = true, EndedAt = DateTimeOffset.UtcNow }, ct);
        }

        looks.Add(LookAt());
        IReadOnlyList<SqlRuleResult> rules;
        await using (var reader = await store.OpenRunAsync(name, ct))
        {
            rules = await SqlChecks.RunAsync(
                reader, true, true, new SqlLimits(TimeSpan.FromMinutes(VerdictMinutesMax), 10), ct);
        }

        looks.Add(LookAt());
        var table = $"operations_{await _psql.RunIdAsync(name, ct)}";
        var bytes = await _psql.NumberAsync($"SELECT pg_total_relation_size('{table}')", ct);
        var disk = database.DiskBytes;
        await _psql.ExecuteAsync($"TRUNCATE {table}", ct);
        return new(
            rows, Micro(looks[1].Own - looks[0].Own), Micro(looks[1].Server - looks[0].Server),
            Micro(looks[2].Server - looks[1].Server), Micro(looks[3].Server - looks[2].Server), (double)bytes / rows,
            (looks[3].At - looks[2].At).TotalSeconds, rules.Sum(rule => rule.Violated))
        {
            DiskBytes = disk,
        };

        double Micro(double cpuSeconds) => cpuSeconds / rows * 1e6;
    }

    private Look LookAt() => new(
        DateTimeOffset.UtcNow, Environment.CpuUsage.TotalTime.TotalSeconds, database.CpuSeconds);

    private readonly record struct Look(DateTimeOffset At, double Own, double Server);
}
