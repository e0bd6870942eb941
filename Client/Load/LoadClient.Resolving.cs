using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Protocol.Calls;
using Fleet.Protocol.Wire;

namespace Fleet.Client.Load;

/// <summary>Operations whose answer was lost: the object that would have executed them is asked.</summary>
/// <remarks>
/// Until it has said, the client does nothing else, so nothing is freed while an access to it is unresolved, and
/// numbers in flight stay those of one call. Each question is an operation of its own. Source: design.md 2.2.
/// </remarks>
public sealed partial class LoadClient
{
    private static readonly TimeSpan AskAgain = TimeSpan.FromMilliseconds(50);

    private DeadlineCall<ResolveReply>? _resolve;

    /// <param name="resource">Of the page map that was asked; -1 for the device.</param>
    /// <returns>The answer that was lost; null when the operation was not executed, and never will be.</returns>
    private async ValueTask<FrontReply?> ResolveAsync(Operation lost, int device, int resource)
    {
        _context.Counters.AnswerLost();
        var request = new ResolveRequest(_sessionNumber, _numbers.Client, lost.Number);
        while (true)
        {
            var asked = MonotonicNs.Now;
            var query = lost with
            {
                Number = _numbers.Next(),
                Kind = OperationKind.Query,
                Of = lost.Number,
                Outcome = OperationOutcome.Unknown,
                IntendedNs = asked,
                SentNs = asked,
                Tag = 0,
            };
            Sending(query);
            _resolve ??= new(_context.Watch);
            var answer = await _resolve.StartAsync(
                resource < 0
                    ? _context.Port.ResolveAtDeviceAsync(device, request)
                    : _context.Port.ResolveAtMapAsync(device, resource, request),
                _context.Options.Deadline);
            _resolve = _resolve.IsSpent ? null : _resolve;
            if (answer is { IsKnown: true, Value.Stand: CallStand.Refused })
            {
                (query.Outcome, query.Err) = (OperationOutcome.Fail, Errno.ENOENT);
                End(ref query, null);
                _context.Counters.Resolved(isExecuted: false);
                LearnAfterLoss(device, resource, answer.Value.Gen);
                return null;
            }

            if (answer is { IsKnown: true, Value.Stand: CallStand.Answered })
            {
                Fill(ref query, lost.Kind, device, answer.Value.Reply);
                End(ref query, null);
                _context.Counters.Resolved(isExecuted: true);
                LearnAfterLoss(device, resource, answer.Value.Gen);
                return answer.Value.Reply;
            }

            End(ref query, answer.Failure);
            await Task.Delay(AskAgain, _stop);
        }
    }

    private void LearnAfterLoss(int device, int resource, int gen)
    {
        if (resource < 0)
            Learn(device, new(gen, 0, 0));
        else if (resource == 0)
            _context.Fleet.LearnMap(device, gen);
    }

    /// <summary>What the answer adds to the record: the question stands for the operation, at its position.</summary>
    private void Fill(ref Operation query, OperationKind kind, int device, in FrontReply reply)
    {
        var fleet = _context.Fleet;
        query.Err = reply.Err;
        query.Outcome = reply.Err is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail;
        query.At = PositionAt(query.Map == 0 ? fleet.DeviceIds[device] : query.Map, reply.At);
        if (kind is OperationKind.Access)
        {
            query.Tag = reply.Tag;
            return;
        }

        if (query.Map != 0)
        {
            // A pin: its name is the page map's to give, under the device's incarnation.
            if (kind is OperationKind.Alloc && reply.Err is Errno.OK)
            {
                var pin = reply.ToPin();
                query.Alloc = new(fleet.DeviceIds[device], pin.Gen, pin.Number);
                query.Pfn = pin.Pfn;
                query.Address = pin.Pfn << PageShift;
            }

            return;
        }

        query.Owner = reply.Owner < 0 ? 0 : fleet.RefIds[device][reply.Owner];
        if (kind is OperationKind.Alloc && reply.Err is Errno.OK)
        {
            query.Alloc = new(fleet.DeviceIds[device], reply.At.Gen, reply.Number);
            query.Address = reply.Address;
        }
    }
}
