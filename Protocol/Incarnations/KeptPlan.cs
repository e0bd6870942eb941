using System.Diagnostics.CodeAnalysis;

namespace Fleet.Protocol.Incarnations;

/// <summary>What a later incarnation has to know to begin; text where it leaves the process, and not before.</summary>
/// <remarks>
/// A plan of a device is shared by who configured it, and in memory it stays so: writing it as text, and keeping that
/// text, would cost each device more than all else that is kept of it. Immutable.
/// </remarks>
public abstract class KeptPlan
{
    /// <summary>As it is stored, and as a later incarnation reads it.</summary>
    public abstract string Text { get; }

    [return: NotNullIfNotNull(nameof(text))]
    public static implicit operator KeptPlan?(string? text) => text is null ? null : new KeptText(text);

    private sealed class KeptText(string text) : KeptPlan
    {
        public override string Text => text;
    }
}
