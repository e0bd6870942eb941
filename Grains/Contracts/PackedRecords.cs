using System.Runtime.CompilerServices;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Protocol.Wire;

// The records of the hot operations on the wire. Names and order of columns are frozen by an approval file.
namespace Fleet.Grains.Serialization;

public readonly struct AllocRequestLayout : IPackedLayout<AllocRequest>
{
    public static string Names => "Op Session SizeBytes Client KnownGen";

    public static int Count => 5;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Take(in AllocRequest record, Span<ulong> columns, int stride)
    {
        _ = columns[(Count - 1) * stride]; // One check; the accesses below are then known to fit.
        columns[0] = unchecked((ulong)record.Op);
        columns[stride] = unchecked((ulong)record.Session);
        columns[2 * stride] = record.SizeBytes;
        columns[3 * stride] = unchecked((ulong)record.Client);
        columns[4 * stride] = unchecked((ulong)record.KnownGen);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static AllocRequest Make(ReadOnlySpan<ulong> columns, int stride)
    {
        _ = columns[(Count - 1) * stride]; // One check; the accesses below are then known to fit.
        unchecked
        {
            return new(
                (long)columns[0], (int)columns[stride], columns[2 * stride], (int)columns[3 * stride],
                (int)columns[4 * stride]);
        }
    }
}

[RegisterSerializer, RegisterCopier]
public sealed class AllocRequestCodec : PackedCodec<AllocRequest, AllocRequestLayout>;

[RegisterSerializer, RegisterCopier]
public sealed class AllocRequestsCodec : PackedRequestsCodec<AllocRequests, AllocRequest, AllocRequestLayout>;

public readonly struct AllocReplyLayout : IPackedLayout<AllocReply>
{
    public static string Names => "Err At.Gen At.Seq At.Life Number Address Resource Owner";

    public static int Count => 8;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Take(in AllocReply record, Span<ulong> columns, int stride)
    {
        _ = columns[(Count - 1) * stride]; // One check; the accesses below are then known to fit.
        columns[0] = unchecked((ulong)(short)record.Err);
        columns[stride] = unchecked((ulong)record.At.Gen);
        columns[2 * stride] = unchecked((ulong)record.At.Seq);
        columns[3 * stride] = unchecked((ulong)record.At.Life);
        columns[4 * stride] = unchecked((ulong)record.Number);
        columns[5 * stride] = record.Address;
        columns[6 * stride] = unchecked((ulong)record.Resource);
        columns[7 * stride] = unchecked((ulong)record.Owner);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static AllocReply Make(ReadOnlySpan<ulong> columns, int stride)
    {
        _ = columns[(Count - 1) * stride]; // One check; the accesses below are then known to fit.
        unchecked
        {
            return new(
                (Errno)(short)columns[0],
                new((int)columns[stride], (long)columns[2 * stride], (int)columns[3 * stride]),
                (long)columns[4 * stride], columns[5 * stride], (short)columns[6 * stride],
                (short)columns[7 * stride]);
        }
    }
}

[RegisterSerializer, RegisterCopier]
public sealed class AllocReplyCodec : PackedCodec<AllocReply, AllocReplyLayout>;

[RegisterSerializer, RegisterCopier]
public sealed class AllocReplyVectorCodec : PackedVectorCodec<AllocReply, AllocReplyLayout>;

public readonly struct FreeRequestLayout : IPackedLayout<FreeRequest>
{
    public static string Names => "Op Session Gen Number Address SizeBytes Client";

    public static int Count => 7;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Take(in FreeRequest record, Span<ulong> columns, int stride)
    {
        _ = columns[(Count - 1) * stride]; // One check; the accesses below are then known to fit.
        columns[0] = unchecked((ulong)record.Op);
        columns[stride] = unchecked((ulong)record.Session);
        columns[2 * stride] = unchecked((ulong)record.Gen);
        columns[3 * stride] = unchecked((ulong)record.Number);
        columns[4 * stride] = record.Address;
        columns[5 * stride] = record.SizeBytes;
        columns[6 * stride] = unchecked((ulong)record.Client);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static FreeRequest Make(ReadOnlySpan<ulong> columns, int stride)
    {
        _ = columns[(Count - 1) * stride]; // One check; the accesses below are then known to fit.
        unchecked
        {
            return new(
                (long)columns[0], (int)columns[stride], (int)columns[2 * stride], (long)columns[3 * stride],
                columns[4 * stride], columns[5 * stride], (int)columns[6 * stride]);
        }
    }
}

[RegisterSerializer, RegisterCopier]
public sealed class FreeRequestCodec : PackedCodec<FreeRequest, FreeRequestLayout>;

[RegisterSerializer, RegisterCopier]
public sealed class FreeRequestsCodec : PackedRequestsCodec<FreeRequests, FreeRequest, FreeRequestLayout>;

public readonly struct FreeReplyLayout : IPackedLayout<FreeReply>
{
    public static string Names => "Err At.Gen At.Seq At.Life Owner";

    public static int Count => 5;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Take(in FreeReply record, Span<ulong> columns, int stride)
    {
        _ = columns[(Count - 1) * stride]; // One check; the accesses below are then known to fit.
        columns[0] = unchecked((ulong)(short)record.Err);
        columns[stride] = unchecked((ulong)record.At.Gen);
        columns[2 * stride] = unchecked((ulong)record.At.Seq);
        columns[3 * stride] = unchecked((ulong)record.At.Life);
        columns[4 * stride] = unchecked((ulong)record.Owner);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static FreeReply Make(ReadOnlySpan<ulong> columns, int stride)
    {
        _ = columns[(Count - 1) * stride]; // One check; the accesses below are then known to fit.
        unchecked
        {
            return new(
                (Errno)(short)columns[0],
                new((int)columns[stride], (long)columns[2 * stride], (int)columns[3 * stride]),
                (short)columns[4 * stride]);
        }
    }
}

[RegisterSerializer, RegisterCopier]
public sealed class FreeReplyCodec : PackedCodec<FreeReply, FreeReplyLayout>;

[RegisterSerializer, RegisterCopier]
public sealed class FreeReplyVectorCodec : PackedVectorCodec<FreeReply, FreeReplyLayout>;

public readonly struct AccessRequestLayout : IPackedLayout<AccessRequest>
{
    public static string Names => "Op Session Gen Number Pfn PageCount Direction Via Tag Client";

    public static int Count => 10;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Take(in AccessRequest record, Span<ulong> columns, int stride)
    {
        _ = columns[(Count - 1) * stride]; // One check; the accesses below are then known to fit.
        columns[0] = unchecked((ulong)record.Op);
        columns[stride] = unchecked((ulong)record.Session);
        columns[2 * stride] = unchecked((ulong)record.Gen);
        columns[3 * stride] = unchecked((ulong)record.Number);
        columns[4 * stride] = record.Pfn;
        columns[5 * stride] = unchecked((ulong)record.PageCount);
        columns[6 * stride] = unchecked((ulong)(byte)record.Direction);
        columns[7 * stride] = unchecked((ulong)(byte)record.Via);
        columns[8 * stride] = record.Tag;
        columns[9 * stride] = unchecked((ulong)record.Client);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static AccessRequest Make(ReadOnlySpan<ulong> columns, int stride)
    {
        _ = columns[(Count - 1) * stride]; // One check; the accesses below are then known to fit.
        unchecked
        {
            return new(
                (long)columns[0], (int)columns[stride], (int)columns[2 * stride], (long)columns[3 * stride],
                columns[4 * stride], (int)columns[5 * stride], (AccessDirection)(byte)columns[6 * stride],
                (AccessVia)(byte)columns[7 * stride], columns[8 * stride], (int)columns[9 * stride]);
        }
    }
}

[RegisterSerializer, RegisterCopier]
public sealed class AccessRequestCodec : PackedCodec<AccessRequest, AccessRequestLayout>;

[RegisterSerializer, RegisterCopier]
public sealed class AccessRequestsCodec : PackedRequestsCodec<AccessRequests, AccessRequest, AccessRequestLayout>;

public readonly struct AccessReplyLayout : IPackedLayout<AccessReply>
{
    public static string Names => "Err At.Gen At.Seq At.Life Tag";

    public static int Count => 5;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Take(in AccessReply record, Span<ulong> columns, int stride)
    {
        _ = columns[(Count - 1) * stride]; // One check; the accesses below are then known to fit.
        columns[0] = unchecked((ulong)(short)record.Err);
        columns[stride] = unchecked((ulong)record.At.Gen);
        columns[2 * stride] = unchecked((ulong)record.At.Seq);
        columns[3 * stride] = unchecked((ulong)record.At.Life);
        columns[4 * stride] = record.Tag;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static AccessReply Make(ReadOnlySpan<ulong> columns, int stride)
    {
        _ = columns[(Count - 1) * stride]; // One check; the accesses below are then known to fit.
        unchecked
        {
            return new(
                (Errno)(short)columns[0],
                new((int)columns[stride], (long)columns[2 * stride], (int)columns[3 * stride]), columns[4 * stride]);
        }
    }
}

[RegisterSerializer, RegisterCopier]
public sealed class AccessReplyCodec : PackedCodec<AccessReply, AccessReplyLayout>;

[RegisterSerializer, RegisterCopier]
public sealed class AccessReplyVectorCodec : PackedVectorCodec<AccessReply, AccessReplyLayout>;
