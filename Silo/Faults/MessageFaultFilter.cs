using System.Collections.Concurrent;
using Fleet.Grains;

namespace Fleet.Silo.Faults;

/// <summary>Delays, loses and doubles calls of devices, page maps and resources on the silo that receives
/// them.</summary>
/// <remarks>
/// Installed only where a run asks for it: a filter costs every call. What builds and closes a fleet, and what only
/// asks after it, passes. Draws come from the run's seed; which message gets which draw is the network's doing.
/// Concurrency: any thread.
/// </remarks>
internal sealed class MessageFaultFilter(IReadOnlyList<MessageFault> faults, ulong seed) : IIncomingGrainCallFilter
{
    private static readonly TimeSpan LateMax = TimeSpan.FromMilliseconds(300);

    /// <summary>Longer than any caller waits, so that it learns nothing; short enough that lost calls do not pile
    /// up.</summary>
    private static readonly TimeSpan LostFor = TimeSpan.FromSeconds(3);

    private static readonly HashSet<Type> Struck =
    [
        typeof(IPciDeviceGrain), typeof(IPgmapGrain), typeof(IP2pdmaResourceGrain), typeof(IPgmapArrayGrain),
    ];

    private static readonly HashSet<string> Passing =
        new(["Configure", "Report", "Close", "Check"], StringComparer.Ordinal);

    private readonly ConcurrentDictionary<string, long> _counts = new(StringComparer.Ordinal);
    private long _draws = unchecked((long)seed);

    /// <summary>A fold of a page map's slot whose answer its device never got, or that arrived twice.</summary>
    public const string FoldRepeated = "fold-repeated";

    /// <summary>How often each kind struck, and how many of those were folds that had to be repeated.</summary>
    public Dictionary<string, long> Counts => new(_counts, StringComparer.Ordinal);

    public async Task Invoke(IIncomingGrainCallContext context)
    {
        if (!Struck.Contains(context.InterfaceMethod.DeclaringType!) || Passing.Contains(context.InterfaceMethod.Name)
            || Draw() is not { } kind)
        {
            await context.Invoke();
            return;
        }

        Count($"message-{kind.ToString().ToLowerInvariant()}");
        if (kind is not MessageFaultKind.Delay && context.InterfaceMethod.Name == nameof(IPgmapGrain.Fold))
        {
            Count(FoldRepeated);
        }

        switch (kind)
        {
            case MessageFaultKind.Delay:
                await Task.Delay(LateMax * Share());
                await context.Invoke();
                break;
            case MessageFaultKind.Drop:
                if (Share() < 0.5)
                {
                    await context.Invoke(); // The answer is lost, and not the request.
                }

                await Task.Delay(LostFor);
                throw new TimeoutException("A message was lost, as the run's plan has it.");
            case MessageFaultKind.Cancel:
                if (Share() < 0.5)
                {
                    await context.Invoke();
                }

                throw new TaskCanceledException("A message was cancelled, as the run's plan has it.");
            default:
                await context.Invoke();
                await Task.Delay(LateMax * Share());
                using (await context.Request.Invoke())
                {
                    break; // Whatever the second one is answered goes nowhere.
                }
        }
    }

    private void Count(string what) => _counts.AddOrUpdate(what, 1, static (_, count) => count + 1);

    private MessageFaultKind? Draw()
    {
        var share = Share();
        foreach (var fault in faults)
        {
            if (share < fault.Share)
            {
                return fault.Kind;
            }

            share -= fault.Share;
        }

        return null;
    }

    /// <summary>From 0 up to, not including, 1. Source: splitmix64 (Vigna).</summary>
    private double Share()
    {
        unchecked
        {
            var z = (ulong)Interlocked.Add(ref _draws, (long)0x9e3779b97f4a7c15);
            z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
            z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
            return ((z ^ (z >> 31)) >> 11) * (1.0 / (1UL << 53));
        }
    }
}
