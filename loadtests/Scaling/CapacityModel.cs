namespace Fleet.LoadTests.Scaling;

/// <summary>The model of docs/scaling.md, as far as a run on one machine can check it.</summary>
/// <remarks>Every constant was measured by another benchmark than the one that is compared: the floor's column names
/// it.</remarks>
internal static class CapacityModel
{
    public const string Name = "the model";

    /// <summary>Weight of an unbind in scaling.yaml, of all weights.</summary>
    private const double Unbinds = 0.2 / 100.2;

    /// <summary>Rows of an unbind and the bind after it.</summary>
    private const double RowsOfLife = 49;

    /// <summary>Bytes of a silo without devices.</summary>
    private const double SiloBytes = 45 << 20;

    /// <summary>Bytes of a device under load.</summary>
    private const double DeviceBytes = 28_000;

    /// <summary>Microseconds of processor time of an operation in silo and client: <c>bench hotpath</c> over
    /// TCP.</summary>
    private const double CallCpu = 27;

    /// <summary>Of one more hop between silos: a client's gateway is seldom where the device is.</summary>
    private const double HopCpu = 7.5;

    /// <summary>Of a row in generator and PostgreSQL: <c>bench scaling-history</c>, stored.</summary>
    private const double RowCpu = 2.3;

    public static double RowsPerOperation => 1 + (Unbinds * RowsOfLife);

    public static double SilosBytes(ScalingPoint point) => (point.Silos * SiloBytes) + (point.Devices * DeviceBytes);

    public static double Cpu(ScalingPoint point) =>
        CallCpu + (HopCpu * (point.Silos - 1) / point.Silos) + (RowCpu * RowsPerOperation);
}
