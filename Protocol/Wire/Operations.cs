using System.Runtime.InteropServices;
using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Protocol.Wire;

/// <summary>Where in its own stream the answering object executed an operation.</summary>
/// <remarks>
/// The object is the one that was called, so its name is not repeated. <c>Seq</c> 0 = it executed nothing.
/// </remarks>
[StructLayout(LayoutKind.Auto)]
public readonly record struct At(int Gen, long Seq, int Life);

/// <summary>Asks a device for memory.</summary>
/// <param name="Op">Number of the operation, unique in the run.</param>
/// <param name="Session">Number of the caller's session in the run.</param>
/// <param name="Client">Number of the client within its session, from 1: what became of its operation can be asked for.
/// 0 for a caller that never asks.</param>
/// <param name="KnownGen">The newest incarnation of the device that the caller has heard of; another one answers
/// <see cref="Errno.ENODEV"/>, with its own. 0 for any.</param>
public readonly record struct AllocRequest(
    long Op, int Session, ulong SizeBytes, int Client = 0, int KnownGen = 0);

/// <param name="Number">Number of the allocation within <see cref="At.Gen"/>, from 1; 0 when there is none.</param>
/// <param name="Resource">Index of the resource the memory lies in; -1 when there is none.</param>
/// <param name="Owner">Index of the resource whose ref owns the chosen chunk, also on a refusal; -1 = none, as before
/// patch 5.</param>
public readonly record struct AllocReply(Errno Err, At At, long Number, ulong Address, short Resource, short Owner);

/// <summary>Gives memory back.</summary>
/// <param name="Gen">Incarnation of the device that gave it; another one answers <see cref="Errno.ENODEV"/>.</param>
public readonly record struct FreeRequest(
    long Op, int Session, int Gen, long Number, ulong Address, ulong SizeBytes, int Client = 0);

public readonly record struct FreeReply(Errno Err, At At, short Owner);

/// <summary>Reads or writes the tags of pages, as their holder does.</summary>
/// <param name="Gen">Incarnation of the device that gave the allocation.</param>
/// <param name="Number">Number of the allocation.</param>
/// <param name="Pfn">First page frame.</param>
/// <param name="PageCount">Pages, at least 1.</param>
/// <param name="Tag">What to write into each; 0 for a read.</param>
public readonly record struct AccessRequest(
    long Op, int Session, int Gen, long Number, ulong Pfn, int PageCount, AccessDirection Direction,
    AccessVia Via, ulong Tag, int Client = 0);

/// <param name="Err">
/// <see cref="Errno.EFAULT"/>: executed, the memory was removed; <see cref="Errno.ESTALE"/>: the session is barred,
/// nothing was touched; <see cref="Errno.ENODEV"/>: an earlier incarnation's handle, nothing was touched.
/// </param>
/// <param name="Tag">What the first page holds after the access; for a read of pages that differ, the first that
/// differs.</param>
public readonly record struct AccessReply(Errno Err, At At, ulong Tag);

/// <summary>Pins one page, as get_user_pages does for an I/O to or from it.</summary>
/// <param name="Page">Which page of the range, from 0.</param>
/// <param name="KnownGen">The newest incarnation of the page map that the caller has heard of; another one answers
/// <see cref="Errno.ENODEV"/>, with its own. 0 for any.</param>
public readonly record struct PinRequest(long Op, int Session, long Page, int Client = 0, int KnownGen = 0);

/// <param name="Err"><see cref="Errno.ENXIO"/>: the page map is dying or gone, nothing was pinned.</param>
/// <param name="At">Position of the page map's event.</param>
/// <param name="Gen">Incarnation of the device, also on <see cref="Errno.ENODEV"/>; with <paramref name="Number"/> it
/// names the pin.</param>
/// <param name="Number">Number of the pin, from <see cref="FirstNumber"/>; 0 when there is none.</param>
public readonly record struct PinReply(Errno Err, At At, int Gen, long Number, ulong Pfn)
{
    /// <summary>Pins are numbered from here: the device numbers what it gives itself from 1.</summary>
    public const long FirstNumber = 1L << 32;
}

/// <summary>Gives a pin back.</summary>
/// <param name="Gen">As the pin's reply had it; another incarnation answers <see cref="Errno.ENODEV"/>.</param>
public readonly record struct UnpinRequest(long Op, int Session, int Gen, long Number, int Client = 0);

/// <param name="Err"><see cref="Errno.EFAULT"/>: executed, the struct page was gone; <see cref="Errno.EINVAL"/>: not
/// the caller's, or given back already.</param>
/// <param name="At">Position of the page map's event.</param>
public readonly record struct UnpinReply(Errno Err, At At);

/// <summary>Progress of a bind or unbind: done, or a ticket to ask again with.</summary>
/// <param name="Ticket">Number at its device and incarnation, from 1.</param>
/// <param name="Err">Result once done.</param>
/// <param name="At">Position of the begin event; once done, of the end event.</param>
/// <param name="WaitsFor">While it waits: what for and who holds it, in words; null otherwise.</param>
public readonly record struct TicketReply(long Ticket, bool IsDone, Errno Err, At At, string? WaitsFor);

/// <summary>A bind or unbind that has not ended.</summary>
/// <param name="IsStuck">It can never end: its procedure died, or what it waits for is owed by a later step of
/// itself.</param>
public sealed record OpenTicket(string Device, long Ticket, string Kind, long Op, string WaitsFor, bool IsStuck);

/// <summary>What one device did, counted.</summary>
public sealed record DeviceCounters(
    long Allocs, long AllocsRefused, long Frees, long Reaped, long Binds, long Unbinds, long Oopses, long Injected,
    int LiveAllocations)
{
    public static DeviceCounters None { get; } = new(0, 0, 0, 0, 0, 0, 0, 0, 0);

    public DeviceCounters Plus(DeviceCounters other) => new(
        Allocs + other.Allocs, AllocsRefused + other.AllocsRefused, Frees + other.Frees, Reaped + other.Reaped,
        Binds + other.Binds, Unbinds + other.Unbinds, Oopses + other.Oopses, Injected + other.Injected,
        LiveAllocations + other.LiveAllocations);
}

/// <summary>How a device stands.</summary>
public sealed record DeviceReport(string Device, bool IsBound, DeviceCounters Counters, IReadOnlyList<OpenTicket> Open);

/// <summary>How a host stands: its devices' counters together, and each ticket that is open.</summary>
public sealed record HostReport(
    string Host, int Devices, int Bound, DeviceCounters Counters, IReadOnlyList<OpenTicket> Open);

/// <summary>A device that could not be bound, or one of whose resources could not be added.</summary>
public sealed record FailedBind(string Device, Errno Err, string? WaitsFor);

/// <summary>What became of a host's devices.</summary>
/// <param name="Bound">Devices with a driver, those with a failed resource included.</param>
public sealed record BuildReply(int Devices, int Bound, IReadOnlyList<FailedBind> Failed);

public enum FrontRequestKind : byte { Alloc, Free, Access }

/// <summary>One request of a mixed batch: the union of the hot operations' arguments.</summary>
/// <param name="Key">Grain key of the device, for an access of the page map.</param>
/// <param name="Address">Of a free; for an access the page frame.</param>
public readonly record struct FrontRequest(
    string Key, FrontRequestKind Kind, long Op, int Session, int Gen, long Number, ulong Address, ulong SizeBytes,
    int PageCount, AccessDirection Direction, AccessVia Via, ulong Tag)
{
    public static FrontRequest Of(string device, in AllocRequest request) => new(
        device, FrontRequestKind.Alloc, request.Op, request.Session, 0, 0, 0, request.SizeBytes, 0, default,
        default, 0);

    public static FrontRequest Of(string device, in FreeRequest request) => new(
        device, FrontRequestKind.Free, request.Op, request.Session, request.Gen, request.Number, request.Address,
        request.SizeBytes, 0, default, default, 0);

    public static FrontRequest Of(string map, in AccessRequest request) => new(
        map, FrontRequestKind.Access, request.Op, request.Session, request.Gen, request.Number, request.Pfn, 0,
        request.PageCount, request.Direction, request.Via, request.Tag);

    public AllocRequest ToAlloc() => new(Op, Session, SizeBytes);

    public FreeRequest ToFree() => new(Op, Session, Gen, Number, Address, SizeBytes);

    public AccessRequest ToAccess() => new(Op, Session, Gen, Number, Address, PageCount, Direction, Via, Tag);
}

/// <summary>One answer of a mixed batch: the fields of the reply that the request's kind has.</summary>
public readonly record struct FrontReply(
    Errno Err, At At, long Number, ulong Address, short Resource, short Owner, ulong Tag)
{
    public static FrontReply Of(in AllocReply reply) =>
        new(reply.Err, reply.At, reply.Number, reply.Address, reply.Resource, reply.Owner, 0);

    public static FrontReply Of(in FreeReply reply) => new(reply.Err, reply.At, 0, 0, -1, reply.Owner, 0);

    public static FrontReply Of(in AccessReply reply) => new(reply.Err, reply.At, 0, 0, -1, -1, reply.Tag);

    /// <summary>A pin's address is its page frame, and its tag the incarnation of the device.</summary>
    public static FrontReply Of(in PinReply reply) =>
        new(reply.Err, reply.At, reply.Number, reply.Pfn, 0, -1, (ulong)reply.Gen);

    public static FrontReply Of(in UnpinReply reply) => new(reply.Err, reply.At, 0, 0, -1, -1, 0);

    public AllocReply ToAlloc() => new(Err, At, Number, Address, Resource, Owner);

    public FreeReply ToFree() => new(Err, At, Owner);

    public AccessReply ToAccess() => new(Err, At, Tag);

    public PinReply ToPin() => new(Err, At, (int)Tag, Number, Address);

    public UnpinReply ToUnpin() => new(Err, At);
}

/// <summary>Asks an object what became of an operation whose answer was lost.</summary>
/// <param name="Session">Number of the caller's session in the run.</param>
/// <param name="Client">Number of the client within its session.</param>
/// <param name="Of">Number of the operation.</param>
public readonly record struct ResolveRequest(int Session, int Client, long Of);

/// <param name="Stand"><see cref="Calls.CallStand.Refused"/>: not executed, and it never will be;
/// <see cref="Calls.CallStand.Running"/>: ask again; <see cref="Calls.CallStand.Answered"/>: <paramref name="Reply"/>.
/// </param>
/// <param name="Gen">Incarnation that answers; 0 where none does.</param>
public readonly record struct ResolveReply(Calls.CallStand Stand, int Gen, FrontReply Reply);
