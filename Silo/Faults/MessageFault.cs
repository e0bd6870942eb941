namespace Fleet.Silo.Faults;

/// <summary>What happens to a share of the messages between a fleet's grains and clients.</summary>
public enum MessageFaultKind : byte
{
    /// <summary>It comes late.</summary>
    Delay,

    /// <summary>The request or its answer never comes.</summary>
    Drop,

    /// <summary>It comes twice.</summary>
    Duplicate,

    /// <summary>The request or its answer never comes, and its caller is told at once that it was cancelled, as by a
    /// silo that stops.</summary>
    Cancel,
}

/// <param name="Share">Of all messages, from 0 to 1.</param>
public sealed record MessageFault(MessageFaultKind Kind, double Share);
