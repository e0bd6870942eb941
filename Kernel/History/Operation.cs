namespace Fleet.Kernel.History;

public enum OperationKind : byte { None, Alloc, Free, Access, Bind, Unbind, AddResource, Remove, Query }

public enum OperationOutcome : byte
{
    /// <summary>No answer: it may have taken effect or not, at any time after it was sent.</summary>
    Unknown,
    Ok,

    /// <summary>The modelled kernel or a fence said no; <see cref="Operation.Err"/> says what.</summary>
    Fail,
}

public enum AccessDirection : byte { None, Read, Write }

public enum AccessVia : byte { None, Cpu, Dma }

/// <summary>What a client asked and what it saw: the one stored record of a hot operation.</summary>
/// <remarks>
/// Invariant: <see cref="IntendedNs"/> ≤ <see cref="SentNs"/> ≤ <see cref="DoneNs"/>, all of one process's clock.
/// Source: history-format, section Operations. Times in ns; 0 or <c>default</c> where a field does not apply.
/// </remarks>
public record struct Operation
{
    /// <summary>Unique in the run; reserved in the spool before use.</summary>
    public long Number;
    public int Client;
    public int Session;
    public int Device;
    public OperationKind Kind;
    public OperationOutcome Outcome;
    public AccessDirection Direction;
    public AccessVia Via;
    public Errno Err;
    public long IntendedNs;
    public long SentNs;
    public long DoneNs;

    /// <summary>Where the answering object executed it; none when there was no answer.</summary>
    public Position At;

    /// <summary>
    /// The allocation that was made, used or freed; <see cref="AllocId.Device"/> is <see cref="Device"/>.
    /// </summary>
    public AllocId Alloc;
    public ulong Address;
    public ulong SizeBytes;

    /// <summary>Owner of the chunk as reported (the percpu_ref's object), 0 before patch 4.</summary>
    public int Owner;

    /// <summary>Page map that was accessed.</summary>
    public int Map;
    public ulong Pfn;
    public int PageCount;

    /// <summary>Tag written, or the one read back.</summary>
    public ulong Tag;

    /// <summary>For a <see cref="OperationKind.Query"/>: the number of the operation it asks about.</summary>
    public long Of;
}
