using Fleet.Kernel.Host;

namespace Fleet.Kernel.History;

/// <summary>Who is to blame; the exit code follows from it.</summary>
/// <remarks>Source: history-format, section Findings; design.md section 5.</remarks>
public enum FindingClass : byte
{
    /// <summary>The modelled order of steps let something be used that was gone, or counted wrongly.</summary>
    Safety,

    /// <summary>Something that had to come never came; a stuck unbind names what it waits for.</summary>
    Liveness,
    Leak,

    /// <summary>Two incarnations served at once, or a loss beyond the fault plan.</summary>
    Infrastructure,

    /// <summary>A client used what it had freed itself.</summary>
    Client,

    /// <summary>Fleet itself is wrong.</summary>
    Harness,
}

/// <summary>One broken rule with what proves it.</summary>
/// <param name="Rule">Name of the rule, such as <c>NO-USE-AFTER-REMOVE</c>.</param>
/// <param name="Object">Name of the object at which it was decided.</param>
/// <param name="Signature">Equal for findings that differ only in place and time; they are counted, not
/// repeated.</param>
/// <param name="Text">Prose: "Let … Then … however …: a contradiction".</param>
/// <param name="Evidence">Records in the form of history-format, one JSON object each.</param>
public sealed record Finding(
    string Rule, FindingClass Class, string Object, string Signature, string Text, IReadOnlyList<string> Evidence)
{
    /// <summary>Findings with this rule and signature so far, this one included.</summary>
    public long Count { get; init; } = 1;

    /// <summary>
    /// The patch whose absence allows it ("patch 6: …"), or the residual defect ("R2: …"); null if neither.
    /// </summary>
    public string? Remedy { get; init; }
}

/// <summary>What a history proves.</summary>
public enum RunVerdict : byte { Unknown, Valid, Invalid }

/// <summary>Sees the records of one object in the object's own order, as they happen.</summary>
/// <remarks>
/// Concurrency: called by one turn of the object at a time, never by two. Must not wait, and must not keep the record.
/// The engine that runs the object creates one for each object and incarnation.
/// </remarks>
public interface IObjectStream
{
    /// <summary>A lifecycle event of this object, the moment it got its position.</summary>
    void Observe(HistoryEvent record);

    /// <summary>An operation that this object executed; times are 0, as the object does not know them.</summary>
    void Observe(in Operation record);

    /// <summary>Adds what it reaches for an operation; nothing where it reaches nothing.</summary>
    void AddTo(ReachedObjects reached)
    {
    }
}

/// <summary>Makes the observer of an object; the embedded checker in a silo, or nobody.</summary>
public interface IObjectStreams
{
    /// <param name="name">Name of the object, such as <c>dev:host-0001/0000:3b:00.0</c>.</param>
    /// <param name="gen">Incarnation whose stream starts.</param>
    IObjectStream Open(string name, int gen);
}
