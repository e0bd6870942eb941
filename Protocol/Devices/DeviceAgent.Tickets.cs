using Fleet.Kernel;
using Fleet.Kernel.Drivers;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Wire;

namespace Fleet.Protocol.Devices;

/// <summary>Long operations: begun, awaited by long polls, and named when they do not end.</summary>
public sealed partial class DeviceAgent
{
    /// <summary>Tickets that are done are kept until this many newer ones are.</summary>
    private const int DoneTicketsMax = 4;

    private Few<Ticket> _tickets;
    private Queue<Ticket>? _lockQueue;
    private Ticket? _lockHolder;
    private long _lastTicket;
    private bool _isClosed;

    /// <summary>Begins to bind, once for each number of an operation; the procedure is the activation's own
    /// task.</summary>
    public Ticket Bind(long op) => Begin(TicketKind.Bind, op);

    public Ticket Unbind(long op) => Begin(TicketKind.Unbind, op);

    /// <returns>Null for a number that was never given, or was done long ago.</returns>
    public Ticket? FindTicket(long number)
    {
        foreach (var ticket in _tickets)
        {
            if (ticket.Number == number)
            {
                return ticket;
            }
        }

        return null;
    }

    /// <summary>Progress of a ticket, in words while it waits.</summary>
    /// <exception cref="InvalidOperationException">Fleet itself could not go on; the cause is inside.</exception>
    public TicketReply Reply(Ticket ticket)
    {
        if (Log.IsOver || ticket.Failure is StaleIncarnationException or PartLostException)
        {
            // What it had begun ended with its incarnation, and so did the ticket.
            return new(ticket.Number, true, Errno.ENOENT, default, null);
        }

        if (ticket.Failure is { } failure)
        {
            throw new InvalidOperationException(
                $"{ticket.Verb} {ticket.Number} of {Log.Name} failed: {failure.Message}", failure);
        }

        return ticket.IsDone
            ? new(ticket.Number, true, ticket.Err, ticket.At, null)
            : new(ticket.Number, false, Errno.OK, ticket.At, WaitsFor(ticket).Text);
    }

    /// <summary>The run is over: what is open now will never end.</summary>
    /// <returns>The tickets that became hangs.</returns>
    public async ValueTask<DeviceReport> Close()
    {
        if (!_isClosed && Log.IsOpen)
        {
            _isClosed = true;
            foreach (var ticket in _tickets)
            {
                if (!ticket.IsDone)
                {
                    Log.Add(
                        EventKind.Hang, actor: ticket.Verb, other: ticket.WaitsForRef?.Id ?? Log.Obj,
                        text: "stuck-" + ticket.Verb,
                        fn: WaitsFor(ticket).Text, after: TakeLearned());
                }
            }

            await CommitAsync();
        }

        return Report();
    }

    private Ticket? TicketOf(long op)
    {
        foreach (var ticket in _tickets)
        {
            if (ticket.Op == op)
            {
                return ticket;
            }
        }

        return null;
    }

    private Ticket Begin(TicketKind kind, long op)
    {
        // A caller whose answer was lost asks again under the same number: it is the same bind or unbind.
        if (op != 0 && TicketOf(op) is { } same)
        {
            return same;
        }

        // A number of an earlier incarnation fits nothing: whoever still follows it is told so.
        var ticket = new Ticket(((long)Math.Max(0, Log.Gen - 1) << 32) + ++_lastTicket, kind, op);
        var done = 0;
        for (var i = _tickets.Count - 1; i >= 0; i--)
        {
            if (_tickets[i].IsDone && ++done > DoneTicketsMax)
            {
                _tickets.RemoveAt(i);
            }
        }

        _tickets.Add(ticket);
        _ = RunAsync(ticket);
        return ticket;
    }

    /// <summary>Runs one procedure under the device lock. Its outcome is the ticket's, whatever it is.</summary>
    private async Task RunAsync(Ticket ticket)
    {
        try
        {
            if (_lockHolder is not null)
            {
                ticket.Lock = new(TaskCreationOptions.RunContinuationsAsynchronously);
                (_lockQueue ??= []).Enqueue(ticket);
                await ticket.Lock.Task;
            }

            _lockHolder = ticket;
            var err = ticket.Kind is TicketKind.Bind ? await BindLocked(ticket) : await UnbindLocked(ticket);
            Reach();
            await CommitAsync();
            ticket.End(err, Log.Last);
            Unlock();
        }
        catch (KernelOopsException oops)
        {
            // The thread is dead and holds what it held, the device lock included: the ticket stays open.
            ticket.WaitsForRef = null;
            ticket.Oops = oops.Message;
            await CommitAsync();
        }
        catch (Exception failure) when (failure is not OutOfMemoryException)
        {
            ticket.Fail(failure);
        }
    }

    private async ValueTask<Errno> BindLocked(Ticket ticket)
    {
        if (!Log.IsOpen)
        {
            return Errno.ENODEV;
        }

        if (_hot.Device.IsBound)
        {
            return Errno.EBUSY;
        }

        // A rebind is a new life of the device and of everything that hangs on it.
        if (_tally.Binds > 0)
        {
            Log.Life++;
        }

        _tally.Binds++;
        ticket.At = Log.Upcoming;
        var host = new FleetHost(this, ticket.Verb, ticket);
        return Plan.Driver is DriverNames.P2pdma
            ? await DriverCore.BindP2p(host, _hot.Device, new BindingObjects(this, Log.Life), Plan.Resources)
            : await DriverCore.Bind(host, _hot.Device, NewState(Log.Life));
    }

    private async ValueTask<Errno> UnbindLocked(Ticket ticket)
    {
        if (!_hot.Device.IsBound)
        {
            return Errno.ENODEV;
        }

        _tally.Unbinds++;
        ticket.At = Log.Upcoming;
        await DriverCore.Unbind(new FleetHost(this, ticket.Verb, ticket), _hot.Device);
        return Errno.OK;
    }

    private void Unlock()
    {
        _lockHolder = null;
        if (_lockQueue is { Count: > 0 })
        {
            _lockHolder = _lockQueue.Dequeue();
            _lockHolder.Lock!.TrySetResult();
        }
    }

    private List<OpenTicket> OpenTickets()
    {
        var open = new List<OpenTicket>();
        foreach (var ticket in _tickets)
        {
            if (!ticket.IsDone)
            {
                var (text, isStuck) = WaitsFor(ticket);
                open.Add(new(Log.Name, ticket.Number, ticket.Verb, ticket.Op, text, isStuck));
            }
        }

        return open;
    }

    private (string Text, bool IsStuck) WaitsFor(Ticket ticket)
    {
        if (ticket.Failure is { } failure)
        {
            return ($"nothing: Fleet itself failed: {failure.Message}", true);
        }

        if (ticket.Oops is { } oops)
        {
            return ($"nothing: the {ticket.Verb} died and holds the device lock ({oops})", true);
        }

        if (ticket.Lock is { Task.IsCompleted: false } && _lockHolder is { } holder)
        {
            var (reason, isStuck) = WaitsFor(holder);
            return ($"waits for the device lock held by {holder.Verb} {holder.Number}, which waits for {reason}",
                isStuck);
        }

        return ticket.WaitsForRef is { } counted ? WaitsForRef(counted) : ("its next step", false);
    }

    private (string Text, bool IsStuck) WaitsForRef(DeviceRef counted)
    {
        var name = Context.Objects.Name(counted.Id);
        foreach (var map in counted.Maps)
        {
            // Nobody but this thread drops these, and it would only after this wait.
            if (map.HoldsInitialCounts)
            {
                return ($"the last reference of {name}: {map.Map.PageCount} page references of "
                    + $"{Context.Objects.Name(map.Id)} are owed by a later step of the same thread, "
                    + "so it waits for ever", true);
            }
        }

        if (counted.Switch is null)
        {
            return ($"the last reference of {name}, which nobody has killed", true);
        }

        var holders = Holders(counted);
        var pinned = holders.Length == 0 && Plan.HasPins && counted.Maps.Count > 0
            ? $", held by pages of {Context.Objects.Name(counted.Maps[0].Id)} that are pinned" : "";
        return ($"the last reference of {name}" + (holders.Length == 0 ? pinned : $", held by {holders}"), false);
    }

    private string Holders(DeviceRef counted)
    {
        var sessions = new SortedDictionary<int, int>();
        foreach (var (_, held) in _hot.Live.InOrder())
        {
            if (held.Memory.Owner is null || ReferenceEquals(held.Memory.Owner.Handle, counted))
            {
                sessions[held.Session] = sessions.GetValueOrDefault(held.Session) + 1;
            }
        }

        return string.Join(", ", sessions.Select(
            held => $"{SessionName(held.Key)} ({held.Value} allocation{(held.Value == 1 ? "" : "s")})"));
    }

    private string SessionName(int session)
    {
        var objects = Context.Objects;
        return session > 0 && session <= objects.LastId && objects.Kind(session) is ObjectKind.Session
            ? objects.Name(session) : $"session {session}";
    }
}
