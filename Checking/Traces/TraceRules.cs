using Fleet.Checking.Rules;
using Fleet.Kernel.History;

namespace Fleet.Checking.Traces;

/// <summary>The invariants of the model that a kernel trace can decide.</summary>
internal enum TraceRule : byte
{
    ReapBeforeRemove, NoUseAfterRemove, ExitAfterZero, ExitNotSwitching, KillOnce,
    NoOverlap, OwnerRoundtrip, DestroyEmpty, FreeMatchesAlloc, ErrorNoResidue, Lifo, UnbindQuiescent, UnbindLive,
}

/// <summary>
/// Counts evidence and keeps findings; those that differ only in place and time are counted, not repeated.
/// </summary>
/// <remarks>The rules are those of the catalogue; only how a trace decides them is told here.</remarks>
internal sealed class TraceLedger(string profile)
{
    private static readonly Rule[] Rules =
    [
        .. new[]
        {
            "REAP-BEFORE-REMOVE", "NO-USE-AFTER-REMOVE", "EXIT-AFTER-ZERO", "EXIT-NOT-SWITCHING", "KILL-ONCE",
            "NO-OVERLAP", "OWNER-ROUNDTRIP",
            "DESTROY-EMPTY", "FREE-MATCHES-ALLOC", "ERROR-NO-RESIDUE", "LIFO", "UNBIND-QUIESCENT", "UNBIND-LIVE",
        }.Select(name => RuleCatalog.Find(name)!),
    ];

    private readonly long[] _ok = new long[Rules.Length];
    private readonly long[] _violated = new long[Rules.Length];
    private readonly long[] _undecided = new long[Rules.Length];
    private readonly List<(long Line, Finding Finding)> _findings = [];
    private readonly Dictionary<(TraceRule Rule, string Signature), int> _known = [];

    /// <summary>Every rule that a trace can decide, also those for which this one has no evidence.</summary>
    public IReadOnlyList<RuleEvidence> Evidence =>
        [.. Rules.Select((rule, i) => new RuleEvidence(rule.Name, rule.Number, _ok[i], _violated[i], _undecided[i]))];

    public IReadOnlyList<Finding> Findings => [.. _findings.OrderBy(one => one.Line).Select(one => one.Finding)];

    public void Ok(TraceRule rule) => _ok[(int)rule]++;

    public void Undecided(TraceRule rule) => _undecided[(int)rule]++;

    /// <param name="signature">What kind of violation it is; each is reported once, with its first evidence.</param>
    public void Violated(
        TraceRule rule, string signature, string obj, long line, string text, IReadOnlyList<string> evidence)
    {
        _violated[(int)rule]++;
        if (_known.TryGetValue((rule, signature), out var index))
        {
            var (first, finding) = _findings[index];
            _findings[index] = (first, finding with { Count = finding.Count + 1 });
            return;
        }

        var broken = Rules[(int)rule];
        _known.Add((rule, signature), _findings.Count);
        _findings.Add((line, new(broken.Name, broken.Class, obj, $"{broken.Name}/{signature}", text, evidence)
        {
            Remedy = Remedies.For(broken, broken.Class, signature, profile, obj),
        }));
    }
}
