using Fleet.Kernel.History;

namespace Fleet.Checking.Rules;

/// <summary>What a rule needs to know about the order of records before it can decide.</summary>
public enum RuleNeeds : byte
{
    /// <summary>The positions of one object: holds whatever the clocks say.</summary>
    OneObject,

    /// <summary>Positions of several objects, joined by <c>after</c> edges.</summary>
    AfterEdges,

    /// <summary>One object's positions and the sequence of a client's own operations.</summary>
    ClientSequence,

    /// <summary>A complete history that ended quiescent: it concludes from what is absent.</summary>
    Quiescence,

    /// <summary>Clocks of different processes, within the header's bound.</summary>
    Clocks,
}

/// <summary>One invariant of the model: what it says, where it comes from, what it needs.</summary>
/// <remarks>
/// A rule holds no state: what has to be remembered is in the stream it judges, so that one rule serves every object.
/// Source: kernel-model section D, with the corrections of section I.
/// </remarks>
public abstract class Rule
{
    /// <summary>Name in findings and tables, such as <c>REAP-BEFORE-REMOVE</c>.</summary>
    public abstract string Name { get; }

    /// <summary>Number in the model (I1…I41); 0 for a rule about Fleet itself.</summary>
    public abstract int Number { get; }

    /// <summary>Class of a finding unless its evidence says otherwise.</summary>
    public virtual FindingClass Class => FindingClass.Safety;

    /// <summary>One sentence: what must hold.</summary>
    public abstract string Claim { get; }

    /// <summary>Kernel function and order of steps that the rule is about.</summary>
    public abstract string Source { get; }

    public virtual RuleNeeds Needs => RuleNeeds.OneObject;

    /// <summary>What of the invariant no record decides, and why; null when all of it is decided.</summary>
    public virtual string? Limits => null;

    /// <summary>
    /// A finding rests on records that are not there, so no small set of records can prove it.
    /// </summary>
    public virtual bool ConcludesFromAbsence => false;

    /// <summary>
    /// A verdict needs evidence of at least one such rule: a run in which nothing was torn down shows nothing.
    /// </summary>
    public virtual bool Essential => false;

    /// <summary>Place in <see cref="RuleCatalog.All"/>.</summary>
    internal int Index { get; set; }
}

/// <summary>How often a rule was decided, and how.</summary>
/// <param name="Undecided">Instances that some permitted order allows and another forbids.</param>
public readonly record struct RuleEvidence(string Rule, int Number, long Ok, long Violated, long Undecided)
{
    public bool Decided => Ok + Violated > 0;
}
