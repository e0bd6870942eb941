using Fleet.Kernel.History;

namespace Fleet.Client.Runs;

/// <summary>What a run looks like at one moment.</summary>
/// <param name="RatePerSecond">Over the last interval.</param>
/// <param name="Backlog">Records that are in the spool and not in the store yet.</param>
public readonly record struct RunMoment(
    string Phase,
    TimeSpan Elapsed,
    long Operations,
    double RatePerSecond,
    double AllocP50Ms,
    double AllocP99Ms,
    long Live,
    long UnbindsInFlight,
    long Unbinds,
    long Unknown,
    long Findings,
    long Backlog);

/// <summary>Watches a run: a person's screen, a log, or nobody.</summary>
public interface IRunProgress
{
    /// <summary>A part of the run begins: one short sentence.</summary>
    void Begin(string part);

    void Show(in RunMoment moment);

    /// <summary>Another process of the run says something: one line.</summary>
    void Say(string line);

    /// <summary>The first finding of its kind; called while the fleet runs, so it must be quick.</summary>
    void Found(Finding finding);
}
