using System.Text.Json;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Plans;

namespace Fleet.Grains.Shells;

/// <summary>Plans as they are kept for the incarnations to come.</summary>
internal static class PlanText
{
    private static readonly JsonSerializerOptions Options = new() { IgnoreReadOnlyProperties = true };

    internal sealed record DeviceText(RunPlan Run, DevicePlan Plan);

    internal sealed record HostText(RunPlan Run, HostPlan Plan);

    private sealed class Kept<T>(T kept) : KeptPlan
    {
        public override string Text => JsonSerializer.Serialize(kept, Options);
    }

    private sealed class KeptDevice(RunPlan run, DevicePlan plan) : KeptPlan
    {
        public override string Text => JsonSerializer.Serialize(new DeviceText(run, plan), Options);
    }

    /// <param name="IsOver">It was decided that the session ends: what it holds is reaped, by whoever reads this.
    /// </param>
    internal sealed record SessionText(
        string Run, int Number, TimeSpan Lease, string[] Hosts, bool IsOver = false);

    public static KeptPlan Of(RunPlan run, DevicePlan plan) => new KeptDevice(run, plan);

    public static KeptPlan Of<T>(T kept) => new Kept<T>(kept);

    public static T Parse<T>(string text) => JsonSerializer.Deserialize<T>(text, Options)
        ?? throw new FormatException($"A kept plan says nothing: {text}");
}
