using Fleet.Checking.Rules;
using Fleet.Kernel.History;

namespace Fleet.Checking;

/// <summary>What a history proves, and why it proves no more.</summary>
/// <param name="Findings">One for each signature, with its count and its first evidence.</param>
/// <param name="Rules">Evidence of every rule of <see cref="RuleCatalog.All"/>, in that order.</param>
/// <param name="Probes">Count of each probe by name.</param>
/// <param name="Reasons">Why the verdict is not <see cref="RunVerdict.Valid"/>, one sentence each.</param>
/// <param name="Records">Records that were judged.</param>
/// <param name="Complete">No record is missing, as far as the dense positions and the header say.</param>
public sealed record CheckReport(
    RunVerdict Verdict,
    IReadOnlyList<Finding> Findings,
    IReadOnlyList<RuleEvidence> Rules,
    IReadOnlyDictionary<string, long> Probes,
    IReadOnlyList<string> Reasons,
    long Records,
    bool Complete)
{
    /// <summary>The process's exit code for this verdict alone.</summary>
    /// <remarks>
    /// The first that applies: 70 a harness finding; 1 safety, liveness or leak; 4 infrastructure; 2 unknown, client
    /// misuse included; 0 valid. What only a run knows (64, 130, 3) is the caller's to put in its place.
    /// Source: design.md section 5.
    /// </remarks>
    public int ExitCode =>
        Has(FindingClass.Harness) ? 70
        : Verdict is RunVerdict.Invalid ? 1
        : Has(FindingClass.Infrastructure) ? 4
        : Verdict is RunVerdict.Unknown ? 2
        : 0;

    private bool Has(FindingClass @class) => Findings.Any(f => f.Class == @class);
}
