using System.Collections.Concurrent;
using Fleet.Checking.History;
using Fleet.Checking.Rules;
using Fleet.Kernel.History;

namespace Fleet.Checking.Streams;

/// <summary>What proves a finding: its prose and its records, made only when the finding is new.</summary>
internal readonly record struct Proof(string Text, IReadOnlyList<HistoryRecord> Records);

/// <summary>Counts evidence and collects findings of all streams of one checker.</summary>
/// <remarks>
/// Concurrency: any thread. Each thread counts in cells of its own, so that a count costs an addition and no lock.
/// </remarks>
internal sealed class Ledger(ObjectTable objects, string profile, Action<Finding>? onFinding)
{
    private const int Outcomes = 3;

    private static readonly int RuleCells = RuleCatalog.All.Count * Outcomes;

    // 8 cells of padding keep two threads off one cache line.
    private static readonly int Cells = RuleCells + Probes.Names.Count + 8;

    [ThreadStatic]
    private static ThreadCounts? ThreadsOwn;

    private readonly ConcurrentDictionary<int, long[]> _cells = [];
    private sealed record ThreadCounts(Ledger Ledger, long[] Cells);

    private readonly Lock _gate = new();
    private readonly Dictionary<(int Rule, FindingClass Class, string Variant), Finding> _findings = [];

    /// <summary>
    /// Devices are judged by several threads: of equal findings the one at the first object by name stands, so that
    /// the report does not depend on which thread was first.
    /// </summary>
    public bool IsShared { get; init; }

    public ObjectTable Objects => objects;

    public void Ok(Rule rule) => Add(rule.Index * Outcomes);

    public void Undecided(Rule rule) => Add((rule.Index * Outcomes) + 2);

    public void Hit(Probe probe) => Add(RuleCells + (int)probe);

    /// <summary>Counts a violation and reports it when it is the first of its kind.</summary>
    /// <param name="variant">What distinguishes findings of one rule; not the place, not the time.</param>
    public void Violated(Rule rule, FindingClass @class, string variant, int obj, Func<Proof> prove)
    {
        if (@class is not FindingClass.Client)
        {
            Add((rule.Index * Outcomes) + 1);
        }

        Finding finding;
        lock (_gate)
        {
            var key = (rule.Index, @class, variant);
            var count = 1L;
            if (_findings.TryGetValue(key, out var known))
            {
                count = known.Count + 1;
                if (!IsShared || string.CompareOrdinal(objects.Name(obj), known.Object) >= 0)
                {
                    _findings[key] = known with { Count = count };
                    return;
                }
            }

            var proof = prove();
            var remedy = Remedies.For(rule, @class, variant, profile, objects.Name(obj));
            finding = new(
                rule.Name, @class, objects.Name(obj), $"{rule.Name}/{@class.ToString().ToLowerInvariant()}/{variant}",
                remedy is null ? proof.Text : $"{proof.Text} {Remedies.Sentence(remedy)}",
                [.. proof.Records.Select(r => RecordJson.Record(r, objects))])
            {
                Remedy = remedy,
                Count = count,
            };
            _findings[key] = finding;
            if (count > 1)
            {
                return;
            }
        }

        onFinding?.Invoke(finding);
    }

    public IReadOnlyList<Finding> Findings()
    {
        lock (_gate)
        {
            return [.. _findings.OrderBy(f => f.Key.Class).ThenBy(f => f.Key.Rule).Select(f => f.Value)];
        }
    }

    public IReadOnlyList<RuleEvidence> Evidence() =>
    [
        .. RuleCatalog.All.Select(rule => new RuleEvidence(
            rule.Name, rule.Number, Sum(rule.Index * Outcomes), Sum((rule.Index * Outcomes) + 1),
            Sum((rule.Index * Outcomes) + 2))),
    ];

    public IReadOnlyDictionary<string, long> ProbeCounts() =>
        Probes.Names.Select((name, i) => (name, Count: Sum(RuleCells + i))).ToDictionary(p => p.name, p => p.Count);

    private void Add(int cell)
    {
        var own = ThreadsOwn;
        if (own is null || !ReferenceEquals(own.Ledger, this))
        {
            // A thread's number is reused only after its end, so cells have one writer at a time.
            ThreadsOwn = own = new(
                this, _cells.GetOrAdd(Environment.CurrentManagedThreadId, static _ => new long[Cells]));
        }

        own.Cells[cell]++;
    }

    private long Sum(int cell)
    {
        var sum = 0L;
        foreach (var (_, cells) in _cells)
        {
            sum += Volatile.Read(ref cells[cell]);
        }

        return sum;
    }
}
